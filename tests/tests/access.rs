//! Who may do what: every call by every role, with no, wrong, expired and revoked keys, in and out
//! of scope, as the table of docs/ACCESS.md says; and nothing changes without a right.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use http_body_util::{BodyExt as _, Full};
use std::time::{SystemTime, UNIX_EPOCH};
use tallystick_tests::keys::{add_for_a_second, api_key, signed_token, until_refused, with};
use tallystick_tests::rights::{ROLES, path, table};
use tallystick_tests::wire::credential::Kind;
use tallystick_tests::wire::get_proof_request::Of;
use tallystick_tests::wire::{
    AddIdentityRequest, CloseWindowRequest, Credential, Frame, GetChannelRequest,
    GetExposureRequest, GetHeadroomRequest, GetPartyRequest, GetProofRequest, GetStatementRequest,
    GetStatusRequest, Identity, ListHistoryRequest, ListIdentitiesRequest, ListSignersRequest,
    Outcome, PairOf, RevokeIdentityRequest, RevokeSignerRequest, Role, RotateIdentityRequest,
    WindowAssetRequest,
};
use tallystick_tests::{
    Client, Deployment, Engine, Launch, PartyId, Signer, Voucher, World, frame, outcomes, refused,
    request_id, signer_request,
};
use tempfile::TempDir;
use tonic::Code::{self, NotFound, PermissionDenied, Unauthenticated};
use tonic::transport::Channel;
use tower::{Service as _, ServiceExt as _};

const ASSET: u32 = World::CLEARED;
const OPERATOR: &str = "the token of ann, whom the configuration names";

/// An engine with an operator of the configuration, two payers and two payees.
struct House {
    client: Client,
    world: World,
    engine: Engine,
    launch: Launch,
    _dir: TempDir,
}

impl House {
    async fn new() -> Self {
        let d = Deployment::new(2, 2).await;
        let Deployment { client, world, engine, dir } = d;
        drop(client);
        engine.stop().await;
        let digest = blake3::hash(OPERATOR.as_bytes()).to_hex();
        let config = format!("[operators]\nann = \"{digest}\"\n");
        let launch = Launch::new(&dir.path().join("data")).config(&config);
        let engine = launch.start();
        let client = Client::connect(&engine).await;
        Self { client, world, engine, launch, _dir: dir }
    }

    /// Adds an identity that is known by the key of its name.
    async fn add(&mut self, name: &str, role: Role, scope: (&[PartyId], &[PartyId])) -> String {
        let key = key_of(name);
        let kind = Kind::KeyDigest(digest(&key));
        let request = added(name, role, kind, scope);
        self.client.operator.add_identity(with(OPERATOR, request)).await.expect("it is added");
        key
    }

    async fn revoke(&mut self, name: &str) {
        let request =
            RevokeIdentityRequest { request_id: request_id("revoke"), name: name.to_owned() };
        let revoked = self.client.operator.revoke_identity(with(OPERATOR, request)).await;
        assert!(revoked.expect("it is revoked").into_inner().revoked_lsn > 0);
    }

    async fn lsn(&mut self) -> u64 {
        let status = self.client.operator.get_status(with(OPERATOR, GetStatusRequest {})).await;
        status.expect("an operator may ask").into_inner().durable_lsn
    }

    async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.engine.address()));
        endpoint.unwrap().connect().await.unwrap()
    }
}

fn key_of(name: &str) -> String {
    api_key(*blake3::hash(name.as_bytes()).as_bytes())
}

fn digest(key: &str) -> Bytes {
    Bytes::copy_from_slice(blake3::hash(key.as_bytes()).as_bytes())
}

fn added(
    name: &str,
    role: Role,
    kind: Kind,
    (parties, payees): (&[PartyId], &[PartyId]),
) -> AddIdentityRequest {
    let ids = |list: &[PartyId]| list.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect();
    AddIdentityRequest {
        request_id: request_id("identity"),
        name: name.to_owned(),
        role: role.into(),
        credential: Some(Credential { kind: Some(kind) }),
        party_ids: ids(parties),
        payees: ids(payees),
        expires_at: 0,
        rate: 0,
    }
}

fn id(party: PartyId) -> Bytes {
    Bytes::copy_from_slice(&party.0)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Makes a call with an empty message: what the gate makes of it.
async fn empty_call(channel: &mut Channel, call: &str, bearer: Option<&str>) -> Code {
    let mut request = hyper::Request::post(path(call))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(bearer) = bearer {
        request = request.header("authorization", format!("Bearer {bearer}"));
    }
    let message = Full::new(Bytes::from_static(&[0; 5]));
    let request = request.body(tonic::body::Body::new(message)).unwrap();
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    let (head, body) = response.into_parts();
    let collected = body.collect().await;
    let trailers = collected.ok().and_then(|all| all.trailers().cloned()).unwrap_or_default();
    let status = head.headers.get("grpc-status").or(trailers.get("grpc-status"));
    let status = status.expect("every answer has a status").to_str().unwrap();
    Code::from(status.parse::<i32>().unwrap())
}

/// A call that is let in comes to nothing, for want of content, or answers.
fn is_let_in(code: Code) -> bool {
    ![PermissionDenied, Unauthenticated].contains(&code)
}

#[tokio::test]
async fn every_call_is_for_the_roles_that_the_document_says_and_for_nobody_else() {
    let mut house = House::new().await;
    let own = [house.world.payers[0].party];
    for (name, role) in ROLES {
        let scope = if role == Role::Party { &own[..] } else { &[] };
        house.add(name, role, (scope, &[])).await;
        house.add(&format!("{name}-revoked"), role, (scope, &[])).await;
        house.revoke(&format!("{name}-revoked")).await;
        let gone = format!("{name}-expired");
        let kind = Kind::KeyDigest(digest(&key_of(&gone)));
        let short = added(&gone, role, kind, (scope, &[]));
        add_for_a_second(&mut house.client, OPERATOR, short).await;
        until_refused(&house.client, &key_of(&gone)).await;
    }
    let (mut channel, before) = (house.channel().await, house.lsn().await);
    for (call, rights) in table() {
        for ((name, _), right) in ROLES.iter().zip(&rights) {
            let code = empty_call(&mut channel, &call, Some(&key_of(name))).await;
            match right.as_str() {
                "yes" => assert!(is_let_in(code), "{call} by {name}: {code:?}"),
                // Nothing that is named is not its own.
                "own" => assert_ne!(code, Unauthenticated, "{call} by {name}"),
                "-" => assert_eq!(code, PermissionDenied, "{call} by {name}"),
                other => panic!("{call} by {name}: {other:?} is no right"),
            }
            for how in ["revoked", "expired"].iter().filter(|_| call != "GetNetwork") {
                let gone = key_of(&format!("{name}-{how}"));
                let code = empty_call(&mut channel, &call, Some(&gone)).await;
                assert_eq!(code, Unauthenticated, "{call}, {how} {name}");
            }
        }
        let cut = &key_of("operator")[..40];
        let strangers =
            [None, Some("nonsense"), Some(&*key_of("stranger")), Some(cut), Some("a.b.c")]
                .map(|bearer| bearer.map(str::to_owned));
        for bearer in strangers {
            let code = empty_call(&mut channel, &call, bearer.as_deref()).await;
            match call == "GetNetwork" {
                true => assert_eq!(code, Code::Ok, "everybody may know the network"),
                false => assert_eq!(code, Unauthenticated, "{call} with {bearer:?}"),
            }
        }
        assert!(is_let_in(empty_call(&mut channel, &call, Some(OPERATOR)).await), "{call}");
    }
    assert_eq!(house.lsn().await, before, "nothing has changed");
}

#[tokio::test]
async fn an_owner_looks_after_their_own_party_and_no_other() {
    let mut house = House::new().await;
    let (own, other) = (house.world.payers[0].clone(), house.world.payers[1].clone());
    let key = house.add("owner", Role::Party, (&[own.party], &[])).await;
    let mut api = house.client.operator.clone();
    for (of, may) in [(&own, true), (&other, false)] {
        let party_id = id(of.party);
        let mut all = Vec::new();
        let mut note = |result: Result<(), tonic::Status>| all.push(result);
        let asked = GetPartyRequest { party_id: party_id.clone() };
        note(api.get_party(with(&key, asked)).await.map(drop));
        let asked = ListSignersRequest { party_id: party_id.clone(), ..Default::default() };
        note(api.list_signers(with(&key, asked)).await.map(drop));
        let asked = GetExposureRequest { party_id: party_id.clone(), asset: ASSET };
        note(api.get_exposure(with(&key, asked)).await.map(drop));
        let asked = ListHistoryRequest { party_id: party_id.clone(), ..Default::default() };
        note(api.list_history(with(&key, asked)).await.map(drop));
        let agent = Signer::new(&format!("new agent {may}"), of.party);
        note(api.add_signer(with(&key, signer_request(&agent, &[]))).await.map(drop));
        let signer = Bytes::copy_from_slice(&of.key().0);
        let asked = RevokeSignerRequest { request_id: request_id("revoke"), signer };
        note(api.revoke_signer(with(&key, asked)).await.map(drop));
        for result in all {
            match may {
                true => result.expect("its own affair"),
                false => refused(result, PermissionDenied, "not in its scope"),
            }
        }
    }
    refused(api.list_history(with(&key, Default::default())).await, PermissionDenied, "scope");
    let close = CloseWindowRequest { request_id: request_id("close") };
    api.close_window(with(OPERATOR, close)).await.expect("an operator closes");
    let statement = |of: PartyId| GetStatementRequest { party_id: id(of), ..Default::default() };
    api.get_statement(with(&key, statement(own.party))).await.expect("its own affair");
    let of_others = api.get_statement(with(&key, statement(other.party))).await;
    refused(of_others, PermissionDenied, "not in its scope");
    // Who paid it, and whom it paid: if it is asked for as one of the two.
    let some = |party: &Bytes| [party.clone(), Bytes::new()];
    let (mine, theirs) = (some(&id(own.party)), some(&id(other.party)));
    for (payer, payee, may) in [(0, 1, true), (1, 0, true), (1, 1, false)] {
        let (payer, payee) = (mine[payer].clone(), mine[payee].clone());
        let asked =
            WindowAssetRequest { window: 1, asset: ASSET, payer, payee, ..Default::default() };
        let net = api.list_net_obligations(with(&key, asked.clone())).await.map(drop);
        assert_eq!(net.is_ok(), may);
        assert_eq!(api.list_obligations(with(&key, asked)).await.is_ok(), may);
    }
    let asked = WindowAssetRequest {
        payer: theirs[0].clone(),
        window: 1,
        asset: ASSET,
        ..Default::default()
    };
    refused(api.list_obligations(with(&key, asked)).await, PermissionDenied, "scope");
    let pair = |payer: PartyId, payee: PartyId| GetProofRequest {
        window: 1,
        asset: ASSET,
        of: Some(Of::Pair(PairOf { payer: id(payer), payee: id(payee) })),
    };
    let payee = house.world.payees[0];
    let of_others = api.get_proof(with(&key, pair(other.party, payee))).await;
    refused(of_others, PermissionDenied, "scope");
    let of_own = api.get_proof(with(&key, pair(own.party, payee))).await;
    of_own.expect("its own affair");
}

#[tokio::test]
async fn vouchers_out_of_scope_are_answered_so_and_the_others_of_their_frame_count() {
    let mut house = House::new().await;
    let (payers, payees) = (house.world.payers.clone(), house.world.payees.clone());
    // As long as there is no facilitator, everybody on this machine brings vouchers.
    assert_eq!(house.client.pay(&[house.world.voucher(0, 0, 9, 1)]).await, [Outcome::Credited]);
    let key = house.add("fac", Role::Facilitator, (&[payers[0].party], &[payees[0]])).await;
    let stranger = Signer::new("nobody knows", payers[0].party);
    let unknown = stranger.sign(house.world.network, house.world.unsigned(payees[0], ASSET, 0, 5));
    let vouchers: Vec<Voucher> = vec![
        house.world.voucher(0, 0, 0, 5),
        house.world.voucher(1, 0, 0, 5),
        house.world.voucher(0, 1, 0, 5),
        house.world.voucher(0, 0, 1, 5),
        unknown,
    ];
    let ack = house.client.vouchers.submit(with(&key, frame(0, &vouchers))).await;
    let ack = ack.unwrap().into_inner();
    let wanted = [
        Outcome::Credited,
        Outcome::OutOfScope,
        Outcome::OutOfScope,
        Outcome::Credited,
        Outcome::UnknownSigner,
    ];
    assert_eq!(outcomes(&ack), wanted);
    assert_eq!((ack.credited, ack.stale, ack.rejected), (2, 0, 3));
    let only = house.client.vouchers.submit(with(&key, frame(0, &vouchers[1..3]))).await;
    assert_eq!(outcomes(&only.unwrap().into_inner()), [Outcome::OutOfScope; 2]);
    let bare = house.client.vouchers.submit(frame(0, &vouchers)).await;
    refused(bare, Unauthenticated, "facilitators alone");
    let channel = |payer: usize, payee: usize| {
        let voucher = house.world.voucher(payer, payee, 0, 5);
        let (signer, payee) = (Bytes::copy_from_slice(&voucher.signer.0), id(voucher.payee));
        let (asset, lane, expires_at) = (voucher.asset, voucher.lane, voucher.expires_at);
        GetChannelRequest { signer, payee, asset, lane, expires_at }
    };
    for (payer, payee, may) in [(0, 0, true), (1, 0, false), (0, 1, false)] {
        let found = house.client.vouchers.get_channel(with(&key, channel(payer, payee))).await;
        match may {
            true => assert_eq!(found.unwrap().into_inner().cumulative, 5),
            false => refused(found, PermissionDenied, "scope"),
        }
        let GetChannelRequest { signer, payee, asset, .. } = channel(payer, payee);
        let asked = GetHeadroomRequest { asset, signers: vec![signer], payee };
        let found = house.client.vouchers.get_headroom(with(&key, asked)).await;
        match may {
            true => assert!(found.unwrap().into_inner().headrooms[0].left > 0),
            false => refused(found, PermissionDenied, "scope"),
        }
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_identity_does_after_the_acks_that_are_owed() {
    let mut house = House::new().await;
    for how in ["revoked", "rotated"] {
        let key = house.add(how, Role::Facilitator, (&[], &[])).await;
        let (frames_in, frames) = tokio::sync::mpsc::channel(4);
        let frames = tokio_stream::wrappers::ReceiverStream::new(frames);
        let lane = u64::from(how == "rotated");
        frames_in.send(frame(1, &[house.world.voucher(0, 0, lane, 5)])).await.unwrap();
        let stream = house.client.vouchers.stream(with(&key, frames)).await;
        let mut acks = stream.unwrap().into_inner();
        assert_eq!(outcomes(&acks.message().await.unwrap().unwrap()), [Outcome::Credited]);
        match how {
            "revoked" => house.revoke(how).await,
            _ => rotate(&mut house, OPERATOR, how).await,
        }
        let ended = acks.message().await.expect_err("the stream ends");
        assert_eq!(ended.code(), Unauthenticated, "{ended:?}");
        assert!(
            ended.message().contains("tallystick access") || ended.message().contains("newest")
        );
        let again = house.client.vouchers.submit(with(&key, Frame::default())).await;
        refused(again, Unauthenticated, "access");
    }
}

async fn rotate(house: &mut House, by: &str, name: &str) {
    let digest = digest(&key_of(&format!("{name} again")));
    let asked = RotateIdentityRequest {
        request_id: request_id("rotate"),
        name: name.to_owned(),
        credential: Some(Credential { kind: Some(Kind::KeyDigest(digest)) }),
    };
    house.client.operator.rotate_identity(with(by, asked)).await.expect("it is rotated");
}

#[tokio::test]
async fn who_brings_vouchers_unnamed_is_out_when_the_first_facilitator_comes() {
    let mut house = House::new().await;
    let (frames_in, frames) = tokio::sync::mpsc::channel(4);
    let frames = tokio_stream::wrappers::ReceiverStream::new(frames);
    frames_in.send(frame(1, &[house.world.voucher(0, 0, 0, 5)])).await.unwrap();
    let mut acks = house.client.vouchers.stream(frames).await.unwrap().into_inner();
    assert!(acks.message().await.unwrap().is_some());
    house.add("fac", Role::Facilitator, (&[], &[])).await;
    let ended = acks.message().await.expect_err("the stream ends");
    assert_eq!(ended.code(), Unauthenticated, "{ended:?}");
}

#[tokio::test]
async fn an_identity_expires_by_itself_and_rotates_its_own_key() {
    let mut house = House::new().await;
    let kind = Kind::KeyDigest(digest(&key_of("short")));
    let short = added("short", Role::Auditor, kind, (&[], &[]));
    add_for_a_second(&mut house.client, OPERATOR, short).await;
    let key = house.add("long", Role::Auditor, (&[], &[])).await;
    rotate(&mut house, &key, "long").await;
    let status = house.client.operator.get_status(with(&key, GetStatusRequest {})).await;
    refused(status, Unauthenticated, "nobody's");
    let newest = key_of("long again");
    house.client.operator.get_status(with(&newest, GetStatusRequest {})).await.unwrap();
    let of_others = RotateIdentityRequest {
        request_id: request_id("rotate"),
        name: "short".into(),
        credential: Some(Credential { kind: Some(Kind::KeyDigest(digest("x"))) }),
    };
    let of_others = house.client.operator.rotate_identity(with(&newest, of_others)).await;
    refused(of_others, PermissionDenied, "scope");
    let status = until_refused(&house.client, &key_of("short")).await;
    assert_eq!(status.code(), Unauthenticated);
    assert!(status.message().contains("has expired"), "{status:?}");
    // What was journaled holds over a restart.
    let House { client, engine, launch, _dir, .. } = house;
    drop(client);
    engine.stop().await;
    let engine = launch.start();
    let mut client = Client::connect(&engine).await;
    client.operator.get_status(with(&newest, GetStatusRequest {})).await.unwrap();
    let still = client.operator.get_status(with(&key_of("short"), GetStatusRequest {})).await;
    refused(still, Unauthenticated, "has expired");
}

#[tokio::test]
async fn a_signed_token_is_taken_for_its_time_and_its_network_alone() {
    let mut house = House::new().await;
    let secret = SigningKey::from_bytes(&[7; 32]);
    let public = Bytes::copy_from_slice(secret.verifying_key().as_bytes());
    let asked = added("fac", Role::Facilitator, Kind::PublicKey(public), (&[], &[]));
    house.client.operator.add_identity(with(OPERATOR, asked)).await.unwrap();
    let network = data_encoding::HEXLOWER.encode(&house.world.network.0);
    let claims = |sub: &str, aud: &str, iat: i64, exp: i64| serde_json::json!({ "sub": sub, "aud": aud, "iat": iat, "exp": exp });
    let (at, other) = (now(), "ab".repeat(32));
    let good = signed_token(&secret, &claims("fac", &network, at, at + 120));
    let voucher = house.world.voucher(0, 0, 0, 5);
    let ack = house.client.vouchers.submit(with(&good, frame(0, &[voucher]))).await.unwrap();
    assert_eq!(outcomes(ack.get_ref()), [Outcome::Credited]);
    let wrong = SigningKey::from_bytes(&[8; 32]);
    for (key, claims, part) in [
        (&secret, claims("fac", &network, at, at + 301), "300 seconds"),
        (&secret, claims("fac", &network, at - 600, at - 400), "has expired"),
        (&secret, claims("fac", &network, at + 600, at + 700), "in the future"),
        (&secret, claims("fac", &other, at, at + 120), "network id"),
        (&secret, claims("nobody", &network, at, at + 120), "not signed"),
        (&wrong, claims("fac", &network, at, at + 120), "not signed"),
    ] {
        let token = signed_token(key, &claims);
        let refusal = house.client.vouchers.submit(with(&token, Frame::default())).await;
        refused(refusal, Unauthenticated, part);
    }
    house.revoke("fac").await;
    let revoked = house.client.vouchers.submit(with(&good, Frame::default())).await;
    refused(revoked, Unauthenticated, "revoked");
}

#[tokio::test]
async fn keys_are_in_no_list_no_log_and_no_file_of_the_engine() {
    let mut house = House::new().await;
    let mut keys = Vec::new();
    for (name, role) in ROLES {
        let own = [house.world.payers[0].party];
        let scope = if role == Role::Party { &own[..] } else { &[] };
        keys.push(house.add(name, role, (scope, &[])).await);
    }
    for key in &keys {
        let _ = house.client.operator.get_status(with(key, GetStatusRequest {})).await;
        let _ = house.client.operator.get_status(with(&key[..50], GetStatusRequest {})).await;
    }
    let all = house.client.operator.list_identities(with(OPERATOR, ListIdentitiesRequest {})).await;
    let mut all = all.unwrap().into_inner();
    let mut listed: Vec<Identity> = Vec::new();
    while let Some(one) = all.message().await.unwrap() {
        listed.push(one);
    }
    assert_eq!(listed.len(), 5);
    let own = house.client.operator.list_identities(with(&keys[0], ListIdentitiesRequest {})).await;
    let mut own = own.unwrap().into_inner();
    assert_eq!(own.message().await.unwrap().unwrap().name, "facilitator");
    assert!(own.message().await.unwrap().is_none(), "it sees itself alone");
    let said = format!("{listed:?}{}", house.engine.stderr());
    let House { client, engine, launch: _, _dir: dir, world: _ } = house;
    drop(client);
    engine.stop().await;
    let paths = tallystick_tests::files(&dir.path().join("data"), |_| true);
    for path in paths.into_iter().filter(|path| path.is_file()) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(4).any(|some| some == b"tsk_"), "{} holds a key", path.display());
    }
    assert!(keys.iter().all(|key| !said.contains(key.as_str())), "a key is shown: {said}");
}

#[tokio::test]
async fn what_is_not_there_is_not_found_by_who_may_look() {
    let mut house = House::new().await;
    let asked = RevokeIdentityRequest { request_id: request_id("revoke"), name: "nobody".into() };
    let unknown = house.client.operator.revoke_identity(with(OPERATOR, asked)).await;
    refused(unknown, NotFound, "access list");
}
