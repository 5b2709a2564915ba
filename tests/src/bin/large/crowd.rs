//! Who owes whom: parties with accounts, and vouchers of which each makes one leg.
//!
//! Through the clearing account every payee is paid by one payer, and every party has one leg; pair
//! by pair every payer pays every payee. Owns parties and amounts.

use crate::{Args, Model, On};
use std::sync::Arc;
use tallystick_tests::wire::{
    Asset, CreateAssetRequest, Frame, ImportRequest, Party, SettlementAccount, UpsertPartyRequest,
    import_request::Item,
};
use tallystick_tests::{
    Client, PartyId, Voucher, World, frame, iban, limit_request, request_id, signer_request,
};
use tokio::sync::mpsc::Sender;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

/// The asset: six digits after the point.
pub const ASSET: u32 = 1;
/// Asset units of one cent.
pub const UNITS_PER_CENT: u128 = 10_000;
/// The clearing account on the rail `nacha`, of the document.
pub const CLEARING_NACHA: &str = "[clearing.nacha]\nodfi_routing = \"121042882\"\n\
    immediate_destination = \"121042882\"\ndestination_name = \"EXAMPLE BANK\"\n\
    immediate_origin = \"1999999999\"\norigin_name = \"EXAMPLE CLEARING INC\"\n\
    company_name = \"EXAMPLE CLEARING\"\ncompany_id = \"1999999999\"\n\
    routing = \"121042882\"\naccount = \"9876543210\"\n";

/// Vouchers in one frame.
const FRAME: usize = 4_096;
/// Frames that wait to be sent.
const FRAMES: usize = 8;
/// Threads that sign.
const SIGNERS: usize = 2;
/// What each payer may owe, in units: never in the way.
const LIMIT: &str = "1000000000000000000000";

/// Everyone, and what they owe each other.
pub struct Crowd {
    world: Arc<World>,
    /// Payer and payee of each voucher.
    pairs: Arc<Vec<(usize, usize)>>,
    dust: bool,
}

impl Crowd {
    /// Registers them.
    pub async fn register(client: &mut Client, args: &Args) -> Self {
        let (payers, legs) = (args.payers, args.legs);
        let payees = match args.model {
            // Each payer has a leg as well.
            Model::Multilateral => legs.checked_sub(payers).expect("fewer payers than legs"),
            Model::Bilateral => legs / payers,
        };
        let pairs: Vec<(usize, usize)> = match args.model {
            Model::Multilateral => (0..payees).map(|payee| (payee % payers, payee)).collect(),
            Model::Bilateral => (0..legs).map(|n| (n % payers, n / payers)).collect(),
        };
        assert!(pairs.iter().all(|(_, payee)| *payee < payees), "legs are a multiple of payers");
        let code = match args.rail {
            On::Iso20022 => "EUR",
            On::Nacha => "USD",
        };
        let asset = CreateAssetRequest {
            request_id: request_id("asset"),
            asset: Some(Asset { number: ASSET, code: code.into(), scale: 6 }),
            model: args.model.on_wire().into(),
        };
        client.operator.create_asset(asset).await.expect("the asset is new");
        let world = Arc::new(World::known(client, payers, payees).await);
        let (rail, own) = (args.rail, world.clone());
        let items = (0..payers + payees).flat_map(move |place| items(&own, rail, place));
        let items = items.map(|item| ImportRequest { item: Some(item) });
        let done = client.operator.import(tokio_stream::iter(items)).await;
        let done = done.expect("the engine answers").into_inner();
        assert_eq!(done.failures.first(), None);
        Self { world, pairs: Arc::new(pairs), dust: args.dust }
    }

    /// How many there are.
    pub fn parties(&self) -> usize {
        self.world.payers.len() + self.world.payees.len()
    }

    /// Has every pair owe something in the open window. Returns how many vouchers were credited.
    pub async fn pay(&self, client: &mut Client, round: usize) -> Result<u64, String> {
        let (sender, frames) = tokio::sync::mpsc::channel(FRAMES);
        let share = self.pairs.len().div_ceil(SIGNERS);
        for first in (0..self.pairs.len()).step_by(share) {
            let (world, pairs, dust) = (self.world.clone(), self.pairs.clone(), self.dust);
            let (sender, end) = (sender.clone(), (first + share).min(pairs.len()));
            std::thread::spawn(move || sign(&world, &pairs, first..end, dust, round, &sender));
        }
        drop(sender);
        let acks = client.vouchers.stream(ReceiverStream::new(frames)).await;
        let mut acks = acks.map_err(|status| status.to_string())?.into_inner();
        let mut credited = 0;
        while let Some(ack) = acks.next().await {
            credited += u64::from(ack.map_err(|status| status.to_string())?.credited);
        }
        if usize::try_from(credited) == Ok(self.pairs.len()) {
            Ok(credited)
        } else {
            Err(format!("{credited} of {} vouchers were credited", self.pairs.len()))
        }
    }
}

/// Signs a share of the vouchers.
fn sign(
    world: &World,
    pairs: &[(usize, usize)],
    share: std::ops::Range<usize>,
    dust: bool,
    round: usize,
    frames: &Sender<Frame>,
) {
    let places: Vec<usize> = share.collect();
    for places in places.chunks(FRAME) {
        let voucher = |&place: &usize| -> Voucher {
            let (payer, payee) = pairs[place];
            // A euro and more, in whole cents; what is owed anew rises the channel's total by the
            // same.
            let crumbs = if dust { 1 + place % 9_999 } else { 0 };
            let owed = 1_000_000 + 10_000 * (place % 10_000) + crumbs;
            let total = owed * (round + 1);
            let total = u64::try_from(total).expect("totals are small");
            world.pay(payer, world.payees[payee], ASSET, 0, total)
        };
        let vouchers: Vec<Voucher> = places.iter().map(voucher).collect();
        let number = u64::try_from(places[0]).expect("a count fits 64 bits");
        if frames.blocking_send(frame(number, &vouchers)).is_err() {
            // The stream has ended with an error, which is reported.
            return;
        }
    }
}

/// What is registered of one party; payers come first.
fn items(world: &World, rail: On, place: usize) -> Vec<Item> {
    let payers = world.payers.len();
    match world.payers.get(place) {
        Some(payer) => vec![
            party(payer.party, rail, place),
            Item::Signer(signer_request(payer, &[])),
            Item::Limit(limit_request(payer.party, ASSET, LIMIT)),
        ],
        None => vec![party(world.payees[place - payers], rail, place)],
    }
}

fn party(id: PartyId, rail: On, place: usize) -> Item {
    let number = u64::try_from(place).expect("a count fits 64 bits");
    let fields: [(&str, String); 2] = match rail {
        On::Iso20022 => [("iban", iban(number)), ("bic", "COBADEFFXXX".into())],
        On::Nacha => [("routing", "121042882".into()), ("account", format!("{:012}", number + 1))],
    };
    let fields = fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    let party = Party {
        party_id: id.0.to_vec().into(),
        name: format!("Müller & Söhne Agent {place} GmbH"),
        suspended: false,
        accounts: [(rail.name().to_owned(), SettlementAccount { fields })].into(),
        ..Default::default()
    };
    Item::Party(UpsertPartyRequest {
        request_id: request_id("party"),
        party: Some(party),
        reopen: false,
        keep: None,
    })
}
