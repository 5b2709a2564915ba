"""One deployment from the first party to the bank's file, seen from outside: registers, signs, pays,
closes a window, nets on its own books, settles, and compares every figure with the engine's."""
import argparse
import csv
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from collections import defaultdict
from decimal import Decimal

import grpc
from tallystick.v1 import operator_pb2 as op
from tallystick.v1 import operator_pb2_grpc, vouchers_pb2_grpc
from tallystick.v1 import vouchers_pb2 as vo

import evidence
import wire

CLEARING = bytes(32)
THROUGH_CLEARING, PAIR_BY_PAIR = 1, 2  # two assets, one per settlement model
SCALE = 6
CENT = 10 ** (SCALE - 2)
DEADLINE = 60  # seconds; a bound, not an expectation
# The operator's own account, from which multilateral pay-outs leave.
CONFIG = """[clearing.iso20022]
name = "Clearing House AG"
iban = "DE89370400440532013000"
"""


class Engine:
    """The real binary on a port of its own choice."""

    def __init__(self, binary, work):
        ready, self.log = work / "ready.json", work / "engine.log"
        (work / "config.toml").write_text(CONFIG)
        self.process = subprocess.Popen(
            [binary, "serve", "--data-dir", work / "data", "--listen", "127.0.0.1:0",
             "--ready-file", ready, "--config", work / "config.toml"],
            stderr=self.log.open("wb"), stdout=subprocess.DEVNULL)
        until = time.monotonic() + DEADLINE
        while not ready.exists():
            try:
                code = self.process.wait(timeout=0.02)
                sys.exit(f"the engine ended with {code}:\n{self.log.read_text()}")
            except subprocess.TimeoutExpired:
                if time.monotonic() > until:
                    self.process.kill()
                    sys.exit(f"the engine was not ready in {DEADLINE} s:\n{self.log.read_text()}")
        self.address = json.loads(ready.read_text())["grpc"]

    def stop(self):
        """Asks it to end, as an operator would."""
        self.process.terminate()
        code = self.process.wait(timeout=DEADLINE)
        assert code == 0, f"the engine ended with {code}:\n{self.log.read_text()}"


class World:
    """Who there is, and this test's own books."""

    def __init__(self, operator, vouchers):
        self.operator, self.vouchers = operator, vouchers
        self.requests = 0
        network = vouchers.GetNetwork(vo.GetNetworkRequest())
        self.network = network.network_id
        assert len(self.network) == 32 and network.frame_vouchers_max == 4096, network
        self.parties = {name: wire.seed(f"party {name}") for name in "abcdefg"}
        # a, b, c pay; d, e, f are paid; g does both, and so do a and d, so that netting nets.
        self.agents = {name: wire.Agent(f"agent {name}") for name in "abcdg"}
        self.expires_at = int(time.time()) + 86_400
        self.owed = defaultdict(int)  # (asset, payer, payee) -> units

    def request(self, what):
        """A new request id."""
        self.requests += 1
        return f"python-{what}-{self.requests}"

    def register(self):
        """Assets, parties, signers, limits."""
        models = {THROUGH_CLEARING: op.SETTLEMENT_MODEL_MULTILATERAL,
                  PAIR_BY_PAIR: op.SETTLEMENT_MODEL_BILATERAL}
        for number, model in models.items():
            asset = vo.Asset(number=number, code="EUR", scale=SCALE)
            request = op.CreateAssetRequest(
                request_id=self.request("asset"), asset=asset, model=model)
            assert self.operator.CreateAsset(request) == asset
        for place, (name, party_id) in enumerate(self.parties.items()):
            account = op.SettlementAccount(fields={"iban": wire.iban(1_000 + place)})
            party = op.Party(party_id=party_id, name=f"Party {name.upper()} GmbH",
                             accounts={"iso20022": account})
            request = op.UpsertPartyRequest(request_id=self.request("party"), party=party)
            assert self.operator.UpsertParty(request) == party
        for name, agent in self.agents.items():
            signer = op.Signer(signer=agent.key, party_id=self.parties[name])
            request = op.AddSignerRequest(request_id=self.request("signer"), signer=signer)
            assert self.operator.AddSigner(request) == signer
            for asset in models:
                request = op.SetCreditLimitRequest(
                    request_id=self.request("limit"), party_id=self.parties[name], asset=asset,
                    limit=str(10 ** 15))
                assert self.operator.SetCreditLimit(request).credit_limit == str(10 ** 15)

    def sign(self, payer, payee, asset, lane, cumulative):
        """A voucher of `payer`'s agent."""
        return self.agents[payer].voucher(
            self.network, self.parties[payee], asset, lane, self.expires_at, cumulative)

    def owe(self, asset, payer, payee, units):
        """Notes what must be owed."""
        self.owed[asset, self.parties[payer], self.parties[payee]] += units


def outcomes(ack):
    """The outcomes by name, after checking the counts."""
    names = [vo.Outcome.Name(byte).removeprefix("OUTCOME_") for byte in ack.outcomes]
    assert ack.credited == names.count("CREDITED") and ack.stale == names.count("STALE"), ack
    assert ack.rejected == len(names) - ack.credited - ack.stale, ack
    return names


def pay(world):
    """Vouchers in every way the contract offers; fills the books."""
    submit = world.vouchers.Submit
    one = world.sign("a", "d", THROUGH_CLEARING, 0, 1_234_567)
    ack = submit(vo.Frame(frame_id=7, packed=wire.pack(one)))
    assert (ack.frame_id, outcomes(ack)) == (7, ["CREDITED"]) and ack.lsn > 0
    world.owe(THROUGH_CLEARING, "a", "d", 1_234_567)
    assert outcomes(submit(vo.Frame(vouchers=[vo.Voucher(**one)]))) == ["STALE"]

    forged = world.sign("a", "d", THROUGH_CLEARING, 0, 2_000_000)
    forged["signature"] = one["signature"]
    stranger = wire.Agent("nobody").voucher(
        world.network, world.parties["d"], THROUGH_CLEARING, 0, world.expires_at, 1)
    itself = world.sign("a", "a", THROUGH_CLEARING, 0, 1)
    late = world.agents["a"].voucher(
        world.network, world.parties["d"], THROUGH_CLEARING, 0, 1_000_000_000, 1)
    above = world.sign("b", "d", THROUGH_CLEARING, 0, 10 ** 15 + 1)
    good = world.sign("b", "d", THROUGH_CLEARING, 0, 5)
    # Packed first, then structured, in the order given.
    frame = vo.Frame(packed=b"".join(map(wire.pack, [forged, stranger, itself])),
                     vouchers=[vo.Voucher(**v) for v in (late, above, good)])
    assert outcomes(submit(frame)) == [
        "BAD_SIGNATURE", "UNKNOWN_SIGNER", "SELF_PAYMENT", "EXPIRED", "OVER_LIMIT", "CREDITED"]
    world.owe(THROUGH_CLEARING, "b", "d", 5)

    asked = [world.agents["b"].key, wire.Agent("nobody").key]
    room = world.vouchers.GetHeadroom(
        vo.GetHeadroomRequest(asset=THROUGH_CLEARING, signers=asked)).headrooms
    assert [(of.signer, of.left, of.beyond) for of in room] == [
        (asked[0], 10 ** 15 - 5, vo.OUTCOME_OVER_LIMIT), (asked[1], 0, vo.OUTCOME_UNKNOWN_SIGNER)]

    channel = world.vouchers.GetChannel(vo.GetChannelRequest(
        **{k: one[k] for k in ("signer", "payee", "asset", "lane", "expires_at")}))
    expected = wire.channel_id(world.network, one["signer"], one["payee"], one["asset"],
                               one["lane"], one["expires_at"])
    assert channel == vo.Channel(
        channel_id=expected, cumulative=1_234_567, lsn=ack.lsn, known=True,
        position=ack.position), channel
    never = world.vouchers.GetChannel(vo.GetChannelRequest(
        **{k: one[k] for k in ("signer", "payee", "asset", "expires_at")}, lane=77))
    assert (never.cumulative, never.known) == (0, False), never
    # What the README says of messages that are compressed.
    try:
        submit(vo.Frame(packed=wire.pack(good)), compression=grpc.Compression.Gzip)
        raise AssertionError("a compressed message was taken")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
    stream(world)


def stream(world):
    """Many frames without waiting for acks; exactly one ack a frame, in order."""
    pairs = [("a", "e"), ("b", "e"), ("c", "f"), ("d", "a"), ("g", "a"), ("a", "g"), ("b", "g"),
             ("g", "b"), ("c", "d"), ("d", "c")]
    frames, totals = [], defaultdict(int)
    for number in range(60):
        payer, payee = pairs[number % len(pairs)]
        asset = (THROUGH_CLEARING, PAIR_BY_PAIR)[number // len(pairs) % 2]
        batch = []
        for step in range(20):
            lane = step % 4
            totals[payer, payee, asset, lane] += 3_331 * (number + 1) + step
            batch.append(world.sign(payer, payee, asset, lane, totals[payer, payee, asset, lane]))
        frames.append(vo.Frame(frame_id=1_000 + number,
                               packed=b"".join(map(wire.pack, batch[:10])),
                               vouchers=[vo.Voucher(**v) for v in batch[10:]]))
    acks = list(world.vouchers.Stream(iter(frames), timeout=DEADLINE))
    assert [ack.frame_id for ack in acks] == [frame.frame_id for frame in frames]
    assert all(outcomes(ack) == ["CREDITED"] * 20 for ack in acks)
    assert all(first.lsn < then.lsn for first, then in zip(acks, acks[1:]))
    for (payer, payee, asset, _), total in totals.items():
        world.owe(asset, payer, payee, total)


EXAMPLES = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "examples"


def run_example(work, file, *arguments):
    """An example, run in a folder of its own as a user would run it."""
    work.mkdir(exist_ok=True)
    runs = "node" if file.endswith(".mjs") else sys.executable
    return subprocess.run([runs, EXAMPLES / file, *map(str, arguments)], cwd=work,
                          capture_output=True, text=True, timeout=DEADLINE, check=False)


def example(work, file, *arguments):
    """What an example prints that does all that it is to do."""
    done = run_example(work, file, *arguments)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def run_the_readmes_example(world, address, work):
    """What the README shows of its client stands in docs/examples; that works as it stands, and pays once when it is run
    twice: its channel was once a new one with each call, and repeating it paid again."""
    readme = (EXAMPLES.parent.parent / "README.md").read_text()
    shown, *_ = re.findall(r"^```python\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    assert shown in (EXAMPLES / "send_one_voucher.py").read_text(), "the README differs"
    units = 7 * CENT
    ask = ("send_one_voucher.py", address, wire.seed("agent a").hex(), world.parties["d"].hex(),
           PAIR_BY_PAIR)
    # A second goes by in between: the expiry was once made from the clock.
    began = int(time.time())
    said = example(work, *ask, units)
    assert said.startswith("OUTCOME_CREDITED at lsn ") and "expires_at" in said, said
    while int(time.time()) == began:
        world.operator.GetStatus(op.GetStatusRequest())
    said = example(work, *ask, units)
    assert said.startswith("OUTCOME_STALE at lsn "), said
    # It goes on from there, and never opens another channel by itself.
    said = example(work, *ask, 2 * units)
    assert said.startswith("OUTCOME_CREDITED at lsn "), said
    world.owe(PAIR_BY_PAIR, "a", "d", 2 * units)
    kept, = work.glob("channel-*.json")
    kept.write_text(json.dumps({"expires_at": began - 1, "lane": 0}))
    done = run_example(work, *ask, units)
    assert done.returncode != 0 and "expired" in done.stderr, done


def run_the_streaming_example(world, address, work):
    """Four agents on one stream. Totals go on over runs; what a crash left signed and unsent is sent with the next run,
    once; another payee's channels have totals of their own."""
    def ask(payee, file="stream_vouchers.py"):
        secrets = ",".join(wire.seed(f"agent {name}").hex() for name in "abcg")
        return file, address, secrets, world.parties[payee].hex(), PAIR_BY_PAIR, 1_000

    def kept(payee):
        return sorted(work.glob(f"stream-*-{world.parties[payee].hex()[:16]}-{PAIR_BY_PAIR}.json"))

    def totals(file):
        return [int(total) for total in json.loads(file.read_text())["totals"]]

    assert "250 CREDITED" in example(work, *ask("e"), 250)
    files = kept("e")
    assert sorted(sum(totals(file)) for file in files) == [62_000, 62_000, 63_000, 63_000], files
    assert all(0 not in totals(file) for file in files), files
    # Written down, and then the power went, before the frame left.
    channels = json.loads(files[0].read_text())
    channels["totals"][0] = str(int(channels["totals"][0]) + 1_000)
    files[0].write_text(json.dumps(channels))
    said = example(work, *ask("e"), 0)
    assert "1 CREDITED, 15 STALE" in said, said
    said = example(work, *ask("e"), 5)
    assert "5 CREDITED, 16 STALE" in said and "nothing" not in said, said
    # The example in JavaScript goes on with the same channels, and this one after it.
    said = example(work, *ask("e", "stream_vouchers.mjs"), 3_007)
    assert "3007 CREDITED, 16 STALE" in said and "nothing" not in said, said
    said = example(work, *ask("e"), 0)
    assert said.startswith("16 STALE"), said
    # Once the file was the agent's alone, and another payee was paid the first one's totals.
    for file, more in (("stream_vouchers.py", 4), ("stream_vouchers.mjs", 2)):
        said = example(work, *ask("f", file), more)
        assert f"{more} CREDITED" in said, said
        assert file.endswith(".mjs") or "STALE" not in said, said
    for name in "abcg":
        key = world.agents[name].key.hex()[:16]
        for payee in "ef":
            file, = (file for file in kept(payee) if key in file.name)
            world.owe(PAIR_BY_PAIR, name, payee, sum(totals(file)))
    for file in ("stream_vouchers.py", "stream_vouchers.mjs"):
        what, _, *rest = ask("e", file)
        done = run_example(work, what, "127.0.0.1:1", *rest, 1)
        assert done.returncode == 1 and "refused" in done.stderr.lower() and "Traceback" not in done.stderr, done
    assert name_of_an_unknown_outcome() == "unknown outcome 99"


def name_of_an_unknown_outcome():
    """What the streaming example calls an outcome that its stubs do not know."""
    spec = importlib.util.spec_from_file_location("stream_vouchers", EXAMPLES / "stream_vouchers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.name(99)


def read_window(world):
    """Closes the window and compares obligations, nets, positions and root with the books."""
    request = op.CloseWindowRequest(request_id=world.request("close"))
    window = world.operator.CloseWindow(request, timeout=DEADLINE)
    assert world.operator.CloseWindow(request).number == window.number == 1, "a retry is no new cut"
    window = world.operator.GetWindow(op.GetWindowRequest(number=1))
    assert window.state == op.WINDOW_STATE_CLOSED and window.cut_lsn > 0
    assert window.vouchers_credited == 1_204 + 3_269, window
    nets = {}
    for asset in (THROUGH_CLEARING, PAIR_BY_PAIR):
        ask = op.WindowAssetRequest(window=1, asset=asset)
        gross = {(f, t): n for (a, f, t), n in world.owed.items() if a == asset}
        got = [(o.payer, o.payee, int(o.amount)) for o in world.operator.ListObligations(ask)]
        assert got == sorted((f, t, n) for (f, t), n in gross.items()), "obligations"

        net = [(f, t, n - gross.get((t, f), 0)) for (f, t), n in gross.items()]
        net = sorted(item for item in net if item[2] > 0)
        listed = world.operator.ListNetObligations(ask)
        assert [(o.payer, o.payee, int(o.amount)) for o in listed] == net, "net obligations"

        positions = defaultdict(int)
        for payer, payee, amount in net:
            positions[payer] -= amount
            positions[payee] += amount
        assert sum(positions.values()) == 0
        listed = world.operator.ListNetPositions(ask)
        assert {p.party_id: int(p.amount) for p in listed} == {
            party: amount for party, amount in positions.items() if amount}, "net positions"
        nets[asset] = (net, dict(positions))

        total = next(t for t in window.totals if t.asset == asset)
        assert int(total.gross) == sum(gross.values()) and total.pairs == len(gross)
        assert int(total.net_bilateral) == sum(n for _, _, n in net)
        assert int(total.net_multilateral) == sum(map(abs, positions.values())) // 2
    check_evidence(world, window)
    return nets


def check_evidence(world, window):
    """The export holds together, and so does the proof of each position; roots are those it was told."""
    chunks = world.operator.ExportEvidence(op.ExportEvidenceRequest(windows=[1]))
    history, counts = evidence.check_export(b"".join(chunk.content for chunk in chunks))
    assert history.network == world.network and counts["evidence"] > 0
    seal = history.seals[1]
    roots = [(asset, seal[asset][0], seal[asset][1]) for asset in sorted(seal)]
    assert window.root == evidence.window_root(1, roots), "the root is not that of the leaves"
    for party in world.parties.values():
        ask = op.GetProofRequest(window=1, asset=THROUGH_CLEARING,
                                 position=op.PositionOf(party_id=party, pairs=True))
        try:
            chunks = list(world.operator.GetProof(ask))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
            continue
        document = b"".join(chunk.content for chunk in chunks)
        evidence.check_document(document.decode(), history.keys)


def expected_legs(asset, net, positions):
    """What must be paid, and what is carried because it is less than a cent."""
    if asset == PAIR_BY_PAIR:
        wanted = net
    else:
        wanted = [(p, CLEARING, -n) for p, n in sorted(positions.items()) if n < 0]
        wanted += [(CLEARING, p, n) for p, n in sorted(positions.items()) if n > 0]
    legs = [(f, t, n - n % CENT) for f, t, n in wanted if n >= CENT]
    carried = sum(n % CENT for f, t, n in wanted if t != CLEARING)
    return legs, carried


def settle(world, nets, work, schema):
    """A batch per asset: legs, states, file; the file against the schema and the sums."""
    for asset, (net, positions) in nets.items():
        batch = world.operator.CreateBatch(op.CreateBatchRequest(
            request_id=world.request("batch"), windows=[1], asset=asset, rail="iso20022"))
        assert batch.state == op.BATCH_STATE_COMPUTED and len(batch.batch_id) == 32, batch
        legs = list(world.operator.ListLegs(op.GetBatchRequest(batch_id=batch.batch_id)))
        wanted, carried = expected_legs(asset, net, positions)
        assert [(getattr(leg, "from"), leg.to, int(leg.amount)) for leg in legs] == wanted, "legs"
        pay_outs = {leg.key: int(leg.amount) for leg in legs if leg.to != CLEARING}
        assert batch.legs == len(legs) and batch.pay_in_legs == len(legs) - len(pay_outs)
        assert int(batch.total) == sum(pay_outs.values()) and int(batch.carried) == carried
        assert carried > 0, "this test's amounts leave dust"

        approve = op.ApproveBatchRequest(
            request_id=world.request("approve"), batch_id=batch.batch_id)
        # Approved, and its first legs have left at once.
        assert world.operator.ApproveBatch(approve).state == op.BATCH_STATE_SUBMITTING
        # The only file for the bank lies in the outbox, once the pay-ins have come.
        pay_ins = [leg.key for leg in legs if leg.to == CLEARING]
        if pay_ins:
            world.operator.ReportLegs(op.ReportLegsRequest(
                request_id=world.request("came"), batch_id=batch.batch_id,
                reports=[op.LegReport(key=key, word=op.LEG_WORD_CONFIRMED) for key in pay_ins]))
        stem = batch.batch_id.hex()[:16]
        paid = read_pain_001(bank_file(world, batch, work / "data" / "outbox" / "iso20022"), schema)
        assert paid == pay_outs, "the bank file pays other sums than the legs"
        lists = list((work / "data" / "pay-ins" / "iso20022").glob(f"{stem}.*.pay-ins.csv"))
        assert len(lists) == bool(pay_ins), lists
        for path in lists:
            check_list(path, {leg.key: getattr(leg, "from") for leg in legs if leg.to == CLEARING}, world)
        files = defaultdict(bytes)
        for chunk in world.operator.ExportBatch(op.GetBatchRequest(batch_id=batch.batch_id)):
            files[chunk.file_name] += chunk.content
        for name, content in files.items():
            (work / pathlib.PurePath(name).name).write_bytes(content)
        assert sorted(files) == [f"{stem}.legs.csv", f"{stem}.legs.json"], "records only"
        told = json.loads((work / f"{stem}.legs.json").read_text())
        every = {leg.key: int(leg.amount) for leg in legs}
        assert {leg["key"]: int(leg["amount_units"]) for leg in told["legs"]} == every
        with (work / f"{stem}.legs.csv").open(newline="") as file:
            rows = {row["key"]: int(row["amount_units"]) for row in csv.DictReader(file)}
        assert rows == every, "CSV, JSON and legs differ"


def bank_file(world, batch, outbox):
    """The batch's file, as soon as it is there."""
    until = time.monotonic() + DEADLINE
    while True:
        found = list(outbox.glob(f"{batch.batch_id.hex()[:16]}.*.pain.001.xml"))
        if found:
            file, = found
            return file
        assert time.monotonic() < until, "no file for the bank"
        world.operator.GetBatch(op.GetBatchRequest(batch_id=batch.batch_id))


def check_list(path, payers, world):
    """Who is to pay in stands there by name and account."""
    names = {party: name for name, party in world.parties.items()}
    with path.open(newline="") as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    assert rows.keys() == payers.keys(), rows
    for key, payer in payers.items():
        assert rows[key]["from_name"] == f"Party {names[payer].upper()} GmbH", rows[key]
        assert rows[key]["from_iban"].startswith("DE"), rows[key]


def read_pain_001(path, schema):
    """Validates one file and gives {EndToEndId: units}, after adding up every control sum."""
    check = ["xmllint", "--noout", "--nonet", "--schema", schema, path]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    name = "{urn:iso:std:iso:20022:tech:xsd:pain.001.001.09}"
    document = xml.parse(path).getroot()
    header = document.find(f".//{name}GrpHdr")
    transfers, sums = {}, Decimal(0)
    for block in document.iter(f"{name}PmtInf"):
        inside = Decimal(0)
        found = list(block.iter(f"{name}CdtTrfTxInf"))
        for transfer in found:
            amount = transfer.find(f".//{name}InstdAmt")
            assert amount.get("Ccy") == "EUR"
            inside += Decimal(amount.text)
            key = transfer.findtext(f".//{name}EndToEndId")
            assert key not in transfers, f"{key} is paid twice"
            transfers[key] = int(Decimal(amount.text).scaleb(SCALE))
            # An IBAN's digits, its first four moved behind, leave 1 when divided by 97.
            target = transfer.findtext(f"./{name}CdtrAcct//{name}IBAN")
            assert int("".join(str(int(c, 36)) for c in target[4:] + target[:4])) % 97 == 1
        assert Decimal(block.findtext(f"{name}CtrlSum")) == inside
        assert int(block.findtext(f"{name}NbOfTxs")) == len(found)
        sums += inside
    assert Decimal(header.findtext(f"{name}CtrlSum")) == sums
    assert int(header.findtext(f"{name}NbOfTxs")) == len(transfers)
    return transfers


def check_vectors(path):
    """This client makes the very bytes of the published vectors."""
    file = json.loads(path.read_text())
    for case in file["vouchers"]:
        agent = wire.Agent(None, bytes.fromhex(case["signer_secret"]))
        voucher = agent.voucher(
            bytes.fromhex(file["network_id"]), bytes.fromhex(case["payee"]), case["asset"],
            int(case["lane"]), int(case["expires_at"]), int(case["cumulative"]))
        assert wire.pack(voucher).hex() == case["packed"], case["name"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--schema", required=True, type=pathlib.Path)
    args = parser.parse_args()
    assert args.schema.exists(), f"{args.schema} is missing"
    check_vectors(pathlib.Path(__file__).parent.parent / "vectors" / "vouchers.json")
    engine = Engine(args.engine, args.work)
    try:
        with grpc.insecure_channel(engine.address) as channel:
            world = World(operator_pb2_grpc.OperatorStub(channel),
                          vouchers_pb2_grpc.VouchersStub(channel))
            world.register()
            pay(world)
            run_the_readmes_example(world, engine.address, args.work / "one")
            run_the_streaming_example(world, engine.address, args.work / "many")
            nets = read_window(world)
            settle(world, nets, args.work, args.schema)
    except BaseException:
        engine.process.kill()
        print(engine.log.read_text(), file=sys.stderr)
        raise
    engine.stop()
    print("python: registered, paid, netted and settled; every figure is the same on both sides")


if __name__ == "__main__":
    main()
