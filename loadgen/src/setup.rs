//! Before the vouchers: connections, the network's terms, the asset, parties, signers and limits.
//!
//! Every request id derives from the seed, so that a setup that is repeated changes nothing.

use crate::args::{Model, RunArgs};
use crate::crowd::{Crowd, Party};
use crate::error::Error;
use crate::plan::LIMIT;
use crate::progress::Progress;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tallystick_client::voucher::Fields;
use tallystick_client::{CallError, ConnectError, Link, Token, Way};
use tallystick_proto::v1::import_request::Item;
use tallystick_proto::v1::operator_client::OperatorClient;
use tallystick_proto::v1::vouchers_client::VouchersClient;
use tallystick_proto::v1::{
    AddSignerRequest, Asset, ConsoleLogin, CreateAssetRequest, CreateConsoleLoginRequest,
    GetChannelRequest, GetNetworkRequest, GetStatusRequest, ImportRequest, Network,
    Party as PartyMessage, SetCreditLimitRequest, SettlementAccount, SettlementModel, Signer,
    Status, UpsertPartyRequest,
};
use tonic::service::interceptor::InterceptedService;

/// The rail on which parties have an account.
pub const RAIL: &str = "iso20022";
/// Largest answer that is read: exported files come in chunks of any size up to this.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How often parties are registered, at most, when the engine's owner changes meanwhile.
const IMPORT_TRIES: u32 = 3;

/// For vouchers, which go with the caller's key.
pub type Vouchers = VouchersClient<InterceptedService<Link, Token>>;

/// The connections of a run.
#[derive(Clone)]
pub struct Clients {
    /// One per connection, for vouchers.
    pub vouchers: Vec<Vouchers>,
    /// What the calls of each go over.
    pub links: Vec<Link>,
    /// For operator calls; on a connection of its own, so that they wait behind no voucher.
    pub operator: OperatorClient<InterceptedService<Link, Token>>,
    /// The way to the engine, for more of them.
    pub way: Way,
}

/// Connects to an engine, `count` times for vouchers.
///
/// # Errors
/// When nobody answers there, or who answers does not fit.
pub async fn connect(way: &Way, count: usize) -> Result<Clients, Error> {
    let operator = OperatorClient::with_interceptor(way.connect().await?, way.token())
        .max_decoding_message_size(ANSWER_BYTES_MAX);
    let (mut vouchers, mut links) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (client, link) = self::vouchers(way).await?;
        vouchers.push(client);
        links.push(link);
    }
    Ok(Clients { vouchers, links, operator, way: way.clone() })
}

/// A connection for vouchers, and what its calls go over.
///
/// # Errors
/// As for `connect`.
pub async fn vouchers(way: &Way) -> Result<(Vouchers, Link), ConnectError> {
    let link = way.connect().await?;
    let mut client = VouchersClient::with_interceptor(link.clone(), way.token());
    // A certificate that the engine refuses shows at the first call only.
    let called = client.get_network(GetNetworkRequest {}).await;
    match (called, way.misfit()) {
        (Err(_), Some(why)) => Err(ConnectError::Misfit(why)),
        (Err(_) | Ok(_), _) => Ok((client, link)),
    }
}

impl Clients {
    /// The network's terms.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn network(&mut self) -> Result<Network, Error> {
        let answer = self.vouchers[0].get_network(GetNetworkRequest {}).await;
        // It is the first call, and needs no token: an engine answers it.
        let no_engine = |status: tonic::Status| {
            let why = crate::error::status_text(&status);
            Error::Engine(format!("what answers at --server is no Tallystick engine ({why})"))
        };
        Ok(answer.map_err(no_engine)?.into_inner())
    }

    /// What the engine is and does right now.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn status(&mut self) -> Result<Status, Error> {
        let answer = self.operator.get_status(GetStatusRequest {}).await;
        Ok(answer.map_err(|status| Error::call("GetStatus", &status))?.into_inner())
    }

    /// A link's code for the console.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn console_login(&mut self) -> Result<ConsoleLogin, Error> {
        let answer = self.operator.create_console_login(CreateConsoleLoginRequest {}).await;
        let failed = |status| Error::call("CreateConsoleLogin", &status);
        Ok(answer.map_err(failed)?.into_inner())
    }

    /// Makes sure that the voucher's channel is a new one: a second sending would be stale
    /// throughout.
    ///
    /// # Errors
    /// When the channel has a total, or the call fails.
    pub async fn check_unused(&mut self, voucher: &Fields) -> Result<(), Error> {
        let request = GetChannelRequest {
            signer: Bytes::copy_from_slice(&voucher.signer),
            payee: Bytes::copy_from_slice(&voucher.payee),
            asset: voucher.asset,
            lane: voucher.lane,
            expires_at: voucher.expires_at,
        };
        let answer = self.vouchers[0].get_channel(request).await;
        match answer.map_err(|status| Error::call("GetChannel", &status))?.into_inner().cumulative {
            0 => Ok(()),
            _ => Err(Error::Usage(
                "this engine holds these vouchers already; choose another --run or --seed".into(),
            )),
        }
    }

    /// Creates the asset.
    ///
    /// # Errors
    /// When the engine refuses it, or the call fails.
    pub async fn create_asset(&mut self, args: &RunArgs) -> Result<(), Error> {
        self.create_asset_of(args.asset, &args.asset_code, args.scale, args.model).await
    }

    /// Creates an asset by its definition.
    ///
    /// # Errors
    /// When the engine refuses it, or the call fails.
    pub async fn create_asset_of(
        &mut self,
        number: u32,
        code: &str,
        scale: u8,
        model: Model,
    ) -> Result<(), Error> {
        let asset = Asset { number, code: code.to_owned(), scale: u32::from(scale) };
        let model = match model {
            Model::Bilateral => SettlementModel::Bilateral,
            Model::Multilateral => SettlementModel::Multilateral,
        };
        // The id derives from the definition: the same asset again is the same request, and another
        // definition is answered as such.
        let definition = format!("{} {} {} {model:?}", asset.number, asset.code, asset.scale);
        let request = CreateAssetRequest {
            request_id: format!("loadgen-asset-{}", blake3::hash(definition.as_bytes()).to_hex()),
            asset: Some(asset),
            model: model.into(),
        };
        let answer = self.operator.create_asset(request).await;
        answer.map_err(|status| Error::call("CreateAsset", &status))?;
        Ok(())
    }

    /// Registers every party with its signer and limit; returns how many parties a second.
    ///
    /// # Errors
    /// When the engine refuses one of them, or the call fails.
    pub async fn import(&mut self, crowd: &Arc<Crowd>, asset: u32) -> Result<u64, Error> {
        let count = u64::try_from(crowd.parties().len()).expect("parties are counted in 32 bits");
        let started = Instant::now();
        let mut tries = 0;
        let answer = loop {
            let progress = Arc::new(Progress::new("parties", "parties", count));
            let (source, tag, counter) = (crowd.clone(), crowd.tag(), progress.clone());
            let items = crowd.parties().flat_map(move |party| {
                counter.add(1);
                items(&source, &tag, party, asset)
            });
            let answer = self.operator.import(tokio_stream::iter(items)).await;
            progress.finish();
            tries += 1;
            match answer {
                Ok(answer) => break answer.into_inner(),
                // The next owner has what was registered, and changes nothing about it.
                Err(status) if self.way.has_several() && tries < IMPORT_TRIES => {
                    let failed = Error::call("Import", &status);
                    if !CallError::from(status).is_passing() {
                        return Err(failed);
                    }
                }
                Err(status) => return Err(Error::call("Import", &status)),
            }
        };
        if let Some(first) = answer.failures.first() {
            return Err(Error::Import {
                count: answer.failures.len(),
                index: first.index,
                reason: first.reason.clone(),
            });
        }
        Ok(per_second(count, started.elapsed()))
    }
}

/// What is registered of one party.
fn items(crowd: &Crowd, tag: &str, party: Party, asset: u32) -> Vec<ImportRequest> {
    let id = Bytes::copy_from_slice(&crowd.id(party));
    let fields = BTreeMap::from([("iban".to_owned(), crowd.iban(party))]);
    let mut items = vec![Item::Party(UpsertPartyRequest {
        request_id: format!("loadgen-{tag}-party-{party}"),
        party: Some(PartyMessage {
            party_id: id.clone(),
            name: crowd.name(party),
            suspended: false,
            accounts: BTreeMap::from([(RAIL.to_owned(), SettlementAccount { fields })]),
            ..Default::default()
        }),
        reopen: false,
        keep: None,
    })];
    if let Some(key) = crowd.signer(party) {
        items.push(Item::Signer(AddSignerRequest {
            request_id: format!("loadgen-{tag}-signer-{party}"),
            signer: Some(Signer {
                signer: Bytes::copy_from_slice(key.verifying_key().as_bytes()),
                party_id: id.clone(),
                caps: Vec::new(),
                ..Default::default()
            }),
        }));
        items.push(Item::Limit(SetCreditLimitRequest {
            request_id: format!("loadgen-{tag}-limit-{asset}-{party}"),
            party_id: id,
            asset,
            limit: LIMIT.to_string(),
        }));
    }
    items.into_iter().map(|item| ImportRequest { item: Some(item) }).collect()
}

/// How many a second.
#[must_use]
pub fn per_second(count: u64, elapsed: Duration) -> u64 {
    let micros = elapsed.as_micros().max(1);
    u64::try_from(u128::from(count) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::CrowdArgs;

    #[test]
    fn payers_get_a_signer_and_a_limit_and_payees_an_account() {
        let args = CrowdArgs { payers: 2, payees: 1, both: Some("0".parse().unwrap()), seed: 1 };
        let crowd = Crowd::draw(&args, 0);
        assert_eq!(items(&crowd, "t", 0, 978).len(), 3);
        let payee = items(&crowd, "t", 2, 978);
        assert_eq!(payee.len(), 1);
        let Some(Item::Party(upsert)) = &payee[0].item else { panic!("a party comes first") };
        let accounts = &upsert.party.as_ref().unwrap().accounts;
        assert_eq!(accounts[RAIL].fields["iban"], crowd.iban(2));
    }

    #[test]
    fn rates_are_whole_numbers() {
        assert_eq!(per_second(1_000, Duration::from_millis(500)), 2_000);
        assert_eq!(per_second(0, Duration::ZERO), 0);
    }
}
