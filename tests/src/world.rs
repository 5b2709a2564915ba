//! Who there is in a test: parties, their signers, what they may spend; and how vouchers are
//! signed.
//!
//! Owns the keys, all made from seeds. Knows nothing of the engine's rules.

use crate::client::{Client, request_id};
use crate::wire::{AddSignerRequest, Cap, Signer as WireSigner};
use crate::wire::{
    Asset, CreateAssetRequest, ImportRequest, Party, SetCreditLimitRequest, SettlementAccount,
    SettlementModel, UpsertPartyRequest, import_request::Item,
};
use crate::{Engine, NetworkId, PartyId, SignerKey, Voucher};
use ed25519_dalek::{Signer as _, SigningKey};
use std::path::PathBuf;
use std::time::SystemTime;
use tallystick_client::{AgentKey, Fields, Network};
use tempfile::TempDir;

/// 32 bytes that follow from a text.
#[must_use]
pub fn seed(text: &str) -> [u8; 32] {
    *blake3::hash(text.as_bytes()).as_bytes()
}

/// The party of that name.
#[must_use]
pub fn party_id(name: &str) -> PartyId {
    PartyId(seed(&format!("party {name}")))
}

/// A day from now, in unix seconds: an expiry that no test reaches.
#[must_use]
pub fn in_a_day() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("before the year 292 billion") + 86_400
}

/// A German IBAN with right check digits.
#[must_use]
pub fn iban(number: u64) -> String {
    let bban = format!("37040044{number:010}");
    // D = 13, E = 14, then 00 in place of the check digits.
    let digits: u128 = format!("{bban}131400").parse().expect("24 digits fit 128 bits");
    format!("DE{:02}{bban}", 98 - digits % 97)
}

/// A key that signs for one party.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The secret.
    pub secret: SigningKey,
    /// For whom it signs.
    pub party: PartyId,
}

impl Signer {
    /// The signer of that name, for a party.
    #[must_use]
    pub fn new(name: &str, party: PartyId) -> Self {
        Self { secret: SigningKey::from_bytes(&seed(&format!("signer {name}"))), party }
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> SignerKey {
        SignerKey(self.secret.verifying_key().to_bytes())
    }

    /// Signs a voucher whose other fields are set.
    #[must_use]
    pub fn sign(&self, network: NetworkId, mut voucher: Voucher) -> Voucher {
        voucher.signer = self.key();
        voucher.signature = self.secret.sign(&voucher.message(network)).to_bytes();
        voucher
    }
}

/// A small deployment: payers with signers and room to spend, payees, assets.
#[derive(Debug, Clone)]
pub struct World {
    /// Its network.
    pub network: NetworkId,
    /// One signer for each payer.
    pub payers: Vec<Signer>,
    /// Who is only paid.
    pub payees: Vec<PartyId>,
    /// When this world's channels expire.
    pub expires_at: i64,
}

impl World {
    /// The asset that settles pair by pair: EUR with six decimals.
    pub const PAIRS: u32 = 1;
    /// The asset that settles through the clearing account: EUR with six decimals.
    pub const CLEARED: u32 = 2;
    /// What each payer may owe in each asset, in units.
    pub const LIMIT: u128 = 1_000_000_000_000_000;

    /// Registers `payers` payers and `payees` payees and both assets, with bank accounts and
    /// limits.
    pub async fn register(client: &mut Client, payers: usize, payees: usize) -> Self {
        let world = Self::known(client, payers, payees).await;
        let models = [
            (Self::PAIRS, SettlementModel::Bilateral),
            (Self::CLEARED, SettlementModel::Multilateral),
        ];
        for (number, model) in models {
            world.create_asset(client, number, model).await;
        }
        let mut items = Vec::new();
        let parties = world.payers.iter().map(|payer| payer.party).chain(world.payees.clone());
        for (place, party) in (1_000..).zip(parties) {
            items.push(Item::Party(party_request(party, place)));
        }
        for payer in &world.payers {
            items.push(Item::Signer(signer_request(payer, &[])));
            for (asset, _) in models {
                items.push(Item::Limit(limit_request(
                    payer.party,
                    asset,
                    &Self::LIMIT.to_string(),
                )));
            }
        }
        let count = u64::try_from(items.len()).expect("bounded");
        let items = items.into_iter().map(|item| ImportRequest { item: Some(item) });
        let items: Vec<ImportRequest> = items.collect();
        let done = client.operator.import(tokio_stream::iter(items)).await;
        let done = done.expect("the engine answers").into_inner();
        assert_eq!((done.applied, done.failures.len()), (count, 0), "{:?}", done.failures);
        world
    }

    /// The same world without registering anything: after a restart.
    pub async fn known(client: &mut Client, payers: usize, payees: usize) -> Self {
        let network = client.vouchers.get_network(crate::wire::GetNetworkRequest {}).await;
        let network = network.expect("the engine answers").into_inner().network_id;
        let payer = |i| {
            let name = format!("payer {i}");
            Signer::new(&name, party_id(&name))
        };
        Self {
            network: NetworkId(network[..].try_into().expect("a network id has 32 bytes")),
            payers: (0..payers).map(payer).collect(),
            payees: (0..payees).map(|i| party_id(&format!("payee {i}"))).collect(),
            expires_at: in_a_day(),
        }
    }

    /// Creates an asset in EUR with six decimals.
    pub async fn create_asset(&self, client: &mut Client, number: u32, model: SettlementModel) {
        let request = CreateAssetRequest {
            request_id: request_id("asset"),
            asset: Some(Asset { number, code: "EUR".into(), scale: 6 }),
            model: model.into(),
        };
        client.operator.create_asset(request).await.expect("the asset is new");
    }

    /// A signed voucher of payer number `payer` to payee number `payee`.
    #[must_use]
    pub fn voucher(&self, payer: usize, payee: usize, lane: u64, cumulative: u64) -> Voucher {
        self.pay(payer, self.payees[payee], Self::PAIRS, lane, cumulative)
    }

    /// A signed voucher of payer number `payer` to any party, in any asset.
    #[must_use]
    pub fn pay(
        &self,
        payer: usize,
        payee: PartyId,
        asset: u32,
        lane: u64,
        cumulative: u64,
    ) -> Voucher {
        self.payers[payer].sign(self.network, self.unsigned(payee, asset, lane, cumulative))
    }

    /// A packed bundle: one signature of a payer over all of these totals, in their order.
    ///
    /// # Panics
    /// When there are none, or more than 64.
    #[must_use]
    pub fn bundle(&self, payer: usize, entries: &[Voucher]) -> Vec<u8> {
        let key = AgentKey::new(&self.payers[payer].secret.to_bytes());
        let fields = |entry: &Voucher| {
            let Voucher { signer, payee, asset, lane, expires_at, cumulative, .. } = *entry;
            let (signer, payee) = (signer.0, payee.0);
            Fields { signer, payee, asset, lane, expires_at, cumulative }
        };
        let mut entries: Vec<Fields> = entries.iter().map(fields).collect();
        let network = Network::new(self.network.0);
        key.sign_bundle(&network, &mut entries).expect("as many entries as a bundle takes")
    }

    /// A voucher's fields, for `Signer::sign`.
    #[must_use]
    pub fn unsigned(&self, payee: PartyId, asset: u32, lane: u64, cumulative: u64) -> Voucher {
        Voucher {
            signer: SignerKey([0; 32]),
            payee,
            asset,
            lane,
            expires_at: self.expires_at,
            cumulative,
            signature: [0; 64],
        }
    }
}

/// An engine of its own for one test, with a world registered.
pub struct Deployment {
    /// A client of it.
    pub client: Client,
    /// Who there is.
    pub world: World,
    /// The process.
    pub engine: Engine,
    /// Its folder; the data directory is `data` in it.
    pub dir: TempDir,
}

impl Deployment {
    /// Starts an engine with a new data directory and registers `payers` payers and `payees`
    /// payees.
    pub async fn new(payers: usize, payees: usize) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let engine = Engine::start(&dir.path().join("data"), &[]);
        let mut client = Client::connect(&engine).await;
        let world = World::register(&mut client, payers, payees).await;
        Self { client, world, engine, dir }
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Ends the engine with SIGTERM and starts another on the same data directory.
    pub async fn restart(self, args: &[&str]) -> Self {
        let Self { client, world, engine, dir } = self;
        drop(client);
        engine.stop().await;
        let engine = Engine::start(&dir.path().join("data"), args);
        let client = Client::connect(&engine).await;
        Self { client, world, engine, dir }
    }
}

/// A party with a bank account.
#[must_use]
pub fn party_request(party: PartyId, place: u64) -> UpsertPartyRequest {
    let fields = [("iban".to_owned(), iban(place))].into();
    let party = Party {
        party_id: party.0.to_vec().into(),
        name: format!("Party {place} GmbH"),
        suspended: false,
        accounts: [("iso20022".to_owned(), SettlementAccount { fields })].into(),
        ..Default::default()
    };
    UpsertPartyRequest {
        request_id: request_id("party"),
        party: Some(party),
        reopen: false,
        keep: None,
    }
}

/// A signer with caps of (asset, amount).
#[must_use]
pub fn signer_request(signer: &Signer, caps: &[(u32, u64)]) -> AddSignerRequest {
    let caps = caps.iter().map(|&(asset, amount)| Cap { asset, amount });
    let signer = WireSigner {
        signer: signer.key().0.to_vec().into(),
        party_id: signer.party.0.to_vec().into(),
        caps: caps.collect(),
        ..Default::default()
    };
    AddSignerRequest { request_id: request_id("signer"), signer: Some(signer) }
}

/// A party's credit limit.
#[must_use]
pub fn limit_request(party: PartyId, asset: u32, limit: &str) -> SetCreditLimitRequest {
    SetCreditLimitRequest {
        request_id: request_id("limit"),
        party_id: party.0.to_vec().into(),
        asset,
        limit: limit.into(),
    }
}
