//! A house that settles over the card rail: a provider (the test double), an engine with a closed
//! window in which two payers owe two payees, operators with tokens, and the command line that all
//! of them type on.

use crate::Outcome::Credited;
use crate::psp::{Fault, FaultOptions, HookOptions, Options, Psp};
use crate::{Deployment, Engine, Launch, PartyId, World, add_party, run_cli, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

/// What callers of the provider must have.
pub const SECRET: &str = "sk_test_double";
/// What its webhooks are signed with.
pub const HOOK_SECRET: &str = "whsec_test";
/// What the first payer owes the first payee, and the second the second: the pay-out of the small
/// one does not need the large one.
pub const LARGE: &str = "5000000";
/// See `LARGE`.
pub const SMALL: &str = "1000000";

/// The house.
pub struct House {
    /// The engine, while it runs.
    pub engine: Option<Engine>,
    /// How it is started.
    pub launch: Launch,
    /// The provider.
    pub psp: Psp,
    /// Who there is.
    pub world: World,
    dir: TempDir,
}

/// A party's id in hexadecimal digits.
#[must_use]
pub fn hex(party: PartyId) -> String {
    data_encoding::HEXLOWER.encode(&party.0)
}

/// Runs a command; its results, a line each.
#[must_use]
pub fn done(out: &Output) -> Vec<Value> {
    assert!(out.status.success(), "{out:?}");
    let text = std::str::from_utf8(&out.stdout).expect("JSON is text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// What was refused, in words.
#[must_use]
pub fn refusal(out: &Output) -> String {
    assert_eq!((out.status.code(), out.stdout.len()), (Some(1), 0), "{out:?}");
    String::from_utf8(out.stderr.clone()).expect("words are text")
}

/// Makes a token for an operator; the line for the configuration.
fn token(folder: &Path, name: &str) -> String {
    let file = folder.join(name);
    let file = file.to_str().expect("a plain path");
    let out = run_cli(&["operator", "token", "--name", name, "--json", "--out", file]);
    done(&out)[0]["config"].as_str().expect("a line").to_owned()
}

/// A batch, and the keys of its charges.
pub struct Charges {
    /// Its id.
    pub batch: String,
    /// The key of the charge over `SMALL`.
    pub small: String,
    /// The key of the charge over `LARGE`.
    pub large: String,
}

impl House {
    /// With these operators; without any, everybody may do everything.
    #[must_use]
    pub fn new(operators: &[&str]) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (world, dir) = runtime.block_on(async {
            let mut d = Deployment::new(2, 2).await;
            let owed = [LARGE, SMALL].map(|amount| amount.parse().expect("a sum"));
            let vouchers = [0, 1].map(|place| {
                d.world.pay(place, d.world.payees[place], World::CLEARED, 0, owed[place])
            });
            assert_eq!(d.client.pay(&vouchers).await, [Credited, Credited]);
            assert_eq!(d.client.close_window().await.number, 1);
            let Deployment { client, world, engine, dir } = d;
            drop(client);
            engine.stop().await;
            (world, dir)
        });
        let psp = Psp::start(Options::new(SECRET)).expect("the double starts");
        let secret = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("a secret can be written");
            path
        };
        let (key, hook) = (secret("card.key", SECRET), secret("card.webhook", HOOK_SECRET));
        let tokens = operators.iter().map(|name| token(dir.path(), name) + "\n");
        let tokens: String = tokens.collect();
        let tokens = if tokens.is_empty() { tokens } else { format!("[operators]\n{tokens}") };
        // One call at a time, so that the order of the faults is that of the legs.
        let config = format!(
            "listen_http = \"127.0.0.1:0\"\n{tokens}[clearing.card]\naccount = \"acct_clearing\"\n\
             [rail.card]\nbase_url = \"{}\"\nsecret_key_file = {key:?}\nwebhook_secret_file = {hook:?}\n\
             threads = 1\ntimeout = \"120s\"\n",
            psp.url()
        );
        let launch = Launch::new(&dir.path().join("data")).config(&config);
        let engine = Some(launch.start());
        Self { engine, launch, psp, world, dir }
    }

    /// The provider sends its webhooks to the engine that runs, from now on.
    pub fn hear_webhooks(&self) {
        let http = self.engine.as_ref().and_then(Engine::http).expect("it listens for them");
        let (url, secret) = (format!("http://{http}/webhooks/card"), HOOK_SECRET.to_owned());
        let options = HookOptions { url: Some(url), secret, ..HookOptions::default() };
        self.psp.send_webhooks(options);
    }

    /// The provider says something that nothing there led to. It is heard when this returns.
    pub fn say(&self, kind: &str, object: &Value, more: &Value) {
        self.psp.say(kind, object, more);
        until("every webhook is taken", || (self.psp.undelivered() == 0).then_some(()));
    }

    /// Runs a command, as an operator if one is named.
    #[must_use]
    pub fn cli(&self, operator: &str, args: &[&str]) -> Output {
        let engine = self.engine.as_ref().expect("it runs");
        let mut all = vec!["--server", engine.address(), "--json"];
        let file = self.dir.path().join(operator);
        if !operator.is_empty() {
            all.extend(["--token-file", file.to_str().expect("a plain path")]);
        }
        all.extend(args);
        run_cli(&all)
    }

    /// Makes a key of the operator's own, which the engine does not know yet; gives its public
    /// half.
    #[must_use]
    pub fn own_key(&self, operator: &str) -> String {
        let file = self.own_file(operator);
        let made = done(&run_cli(&["operator", "key", "new", "--json", "--out", &file]));
        made[0]["key"].as_str().expect("a key").to_owned()
    }

    /// The file with the operator's own key, if they have one.
    #[must_use]
    pub fn own(&self, operator: &str) -> Option<String> {
        Some(self.own_file(operator)).filter(|file| Path::new(file).exists())
    }

    fn own_file(&self, operator: &str) -> String {
        let file = self.dir.path().join(format!("{operator}.key"));
        file.to_str().expect("a plain path").to_owned()
    }

    /// Runs a command that is signed where the operator has an own key.
    fn signing(&self, operator: &str, args: &[&str]) -> Output {
        match self.own(operator) {
            Some(file) => self.cli(operator, &[args, &["--sign-with", &file]].concat()),
            None => self.cli(operator, args),
        }
    }

    /// Registers everybody with an account; `method` is what the first payer is charged on.
    pub fn register_all(&self, operator: &str, method: &str) {
        for (place, payer) in self.world.payers.iter().enumerate() {
            let method = if place == 0 { method.to_owned() } else { format!("pm_{place}") };
            let account = format!("card:customer=cus_{place},payment_method={method}");
            self.register(operator, payer.party, &account);
        }
        for (place, payee) in self.world.payees.iter().enumerate() {
            self.register(operator, *payee, &format!("card:payout=acct_{place}"));
        }
    }

    /// Asks for a batch of a window over the card rail.
    #[must_use]
    pub fn create(&self, operator: &str, window: &str) -> Output {
        let asset = World::CLEARED.to_string();
        self.cli(
            operator,
            &["batch", "create", "--window", window, "--asset", &asset, "--rail", "card"],
        )
    }

    /// A batch of the first window, computed.
    #[must_use]
    pub fn computed(&self, operator: &str) -> Charges {
        let made = done(&self.create(operator, "1"));
        let batch = made[0]["batch_id"].as_str().expect("an id").to_owned();
        let legs = done(&self.cli(operator, &["leg", "list", &batch]));
        let key = |amount: &str| {
            let to_clearing = "00".repeat(32);
            let mut own = legs.iter().filter(|leg| leg["to"] == *to_clearing);
            let leg = own.find(|leg| leg["amount"] == *amount).expect("a charge of it");
            leg["key"].as_str().expect("a key").to_owned()
        };
        Charges { small: key(SMALL), large: key(LARGE), batch }
    }

    /// Approves a batch.
    pub fn approve(&self, operator: &str, charges: &Charges) {
        let _ = done(&self.signing(operator, &["batch", "approve", &charges.batch]));
    }

    /// A batch of the first window, approved while the provider fails so at its two charges, in the
    /// order of small and large; from then on it is as `after` says. Both have come to UNKNOWN.
    #[must_use]
    pub fn lose(&self, operator: &str, faults: [Fault; 2], after: FaultOptions) -> Charges {
        self.register_all(operator, "pm_0");
        let charges = self.computed(operator);
        // Charges leave in the order of their legs.
        let legs = done(&self.cli(operator, &["leg", "list", &charges.batch]));
        let place = |key: &str| legs.iter().position(|leg| leg["key"] == *key);
        let small_first = place(&charges.small) < place(&charges.large);
        let [small, large] = faults;
        self.psp.fail_next(&if small_first { [small, large] } else { [large, small] });
        self.psp.set_faults(after);
        self.approve(operator, &charges);
        until("both charges are unknown", || {
            let report = self.report(operator, &charges);
            (report["pay_ins"][0]["state"] == "unknown" && report["pay_ins"][0]["legs"] == 2)
                .then_some(())
        });
        charges
    }

    /// The same while the small one is made and the large one is not; from then on the provider
    /// answers nothing.
    #[must_use]
    pub fn lose_both(&self, operator: &str) -> Charges {
        let per_mille = [(Fault::Unavailable, 1_000)].into();
        let after = FaultOptions { per_mille, ..FaultOptions::default() };
        self.lose(operator, [Fault::DropAfter, Fault::DropBefore], after)
    }

    fn register(&self, operator: &str, party: PartyId, account: &str) {
        let id = hex(party);
        let add = add_party(&id, "Somebody Ltd", account);
        let _ = done(&self.cli(operator, &add));
    }

    /// The report of a batch.
    #[must_use]
    pub fn report(&self, operator: &str, charges: &Charges) -> Value {
        done(&self.cli(operator, &["batch", "report", &charges.batch])).remove(0)
    }

    /// Where the leg with this key stands.
    #[must_use]
    pub fn state(&self, operator: &str, charges: &Charges, key: &str) -> String {
        let legs = done(&self.cli(operator, &["leg", "list", &charges.batch]));
        let leg = legs.iter().find(|leg| leg["key"] == *key).expect("a leg of the batch");
        leg["state"].as_str().expect("a state").to_owned()
    }

    /// Waits until the leg with this key stands there.
    pub fn until(&self, operator: &str, charges: &Charges, key: &str, state: &str) {
        until(state, || (self.state(operator, charges, key) == state).then_some(()));
    }

    /// What a person must see: kind and text of each trouble.
    #[must_use]
    pub fn troubles(&self, operator: &str) -> Vec<(u64, String, String)> {
        let all = done(&self.cli(operator, &["trouble", "list"]));
        let text = |of: &Value| of.as_str().expect("a text").to_owned();
        let number = |of: &Value| of.as_u64().expect("a number");
        all.iter().map(|of| (number(&of["number"]), text(&of["kind"]), text(&of["text"]))).collect()
    }

    /// Takes all troubles away.
    pub fn ack_all(&self, operator: &str) {
        let numbers = self.troubles(operator).into_iter().map(|(number, ..)| number.to_string());
        let numbers: Vec<String> = numbers.collect();
        let mut args = vec!["trouble", "ack", "--note", "the provider was asked"];
        args.extend(numbers.iter().map(String::as_str));
        let _ = done(&self.cli(operator, &args));
    }

    /// One operator's word about an UNKNOWN leg.
    #[must_use]
    pub fn resolve(
        &self,
        operator: &str,
        charges: &Charges,
        key: &str,
        word: &str,
        of: &str,
    ) -> Output {
        let evidence = format!("{operator} saw it on the provider's pages");
        let args = ["leg", "resolve", &charges.batch, key, "--word", word, "--reference", of];
        self.signing(operator, &[&args[..], &["--evidence", &evidence]].concat())
    }

    /// What a party owes.
    #[must_use]
    pub fn owes(&self, operator: &str, party: PartyId) -> String {
        let asset = World::CLEARED.to_string();
        let show = ["limit", "show", "--party", &hex(party), "--asset", &asset];
        let shown = done(&self.cli(operator, &show));
        shown[0]["unsettled"].as_str().expect("a sum").to_owned()
    }

    /// The engine's directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What the provider has executed: kind, amount in cents, leg's key.
    #[must_use]
    pub fn moved(&self) -> BTreeMap<(String, String), u64> {
        let all = self.psp.movements().into_iter();
        all.map(|one| ((one.kind, one.leg_key), one.amount)).collect()
    }
}
