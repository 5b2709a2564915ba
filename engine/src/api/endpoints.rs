//! Where parties are told over HTTP: added, removed, given another secret, listed, told again,
//! tested. Addresses and secrets are sealed where a message becomes a wish; a secret is never
//! answered.

use super::access::{Own, caller, own};
use super::messages::{asked, asks, bytes, id};
use super::status::{invalid, storage};
use super::trail;
use crate::ledger::{Endpoint, Topic, Wish};
use crate::pipeline::{self, Done};
use crate::rails::hook::{Secret, Target};
use crate::settle::{Engine, HookStanding, Webhooks};
use crate::types::{Lsn, PartyId};
use crate::vault::{SealedEndpoint, VaultError};
use data_encoding::HEXLOWER;
use tallystick_proto::v1;
use tonic::{Request, Status};

asks! {
    AddWebhookRequest "AddWebhook",
    RemoveWebhookRequest "RemoveWebhook",
    RotateWebhookRequest "RotateWebhook",
}

/// The calls about endpoints.
pub(super) struct Endpoints<'a> {
    pub engine: &'a Engine,
    pub webhooks: &'a Webhooks,
}

/// What a call says of an endpoint: its number, and whose it is.
struct Named {
    endpoint: Lsn,
    of: Endpoint,
}

impl Endpoints<'_> {
    /// Has a party told in one place more.
    pub async fn add(
        &self,
        request: Request<v1::AddWebhookRequest>,
    ) -> Result<v1::Webhook, Status> {
        let (caller, own) = (caller(&request), own(&request));
        let message = request.into_inner();
        let party: PartyId = id(&message.party_id, "party_id")?;
        own.party(party)?;
        let topics = topics(&message.types)?;
        Target::read(&message.url, self.webhooks.reach())
            .map_err(|misfit| invalid(misfit.to_string()))?;
        let secret = Secret::read(&message.secret).map_err(|misfit| invalid(misfit.to_string()))?;
        let sealed = self.seal(party, message.url.clone(), secret).await?;
        // A digest of what is sealed: one of the plain text could be guessed at for ever.
        let SealedEndpoint { url, secret, erasures } = sealed;
        let content = v1::AddWebhookRequest {
            url: HEXLOWER.encode(url.bytes()),
            secret: HEXLOWER.encode(secret.bytes()),
            types: topics.iter().map(|topic| topic.name().to_owned()).collect(),
            ..message
        };
        let (request, _) = asked(content)?;
        let wish = Wish::AddEndpoint { party, url, secret, topics, erasures };
        let done = self.engine.tell(wish.by(caller, request)).await?;
        let endpoint = match done {
            Done::Now(lsn) | Done::Before(lsn) => lsn,
        };
        let found = self.named(endpoint).await?;
        self.message(&found).await
    }

    /// It is told no more there.
    pub async fn remove(
        &self,
        request: Request<v1::RemoveWebhookRequest>,
    ) -> Result<v1::Webhook, Status> {
        let (caller, own) = (caller(&request), own(&request));
        let message = request.into_inner();
        let named = self.own(&own, message.webhook).await?;
        let gone = self.message(&named).await?;
        let (request, _) = asked(message)?;
        let Named { endpoint, of } = named;
        let wish = Wish::RemoveEndpoint { endpoint, party: of.party };
        self.engine.tell(wish.by(caller, request)).await?;
        Ok(gone)
    }

    /// What is sent there is signed with another secret.
    pub async fn rotate(
        &self,
        request: Request<v1::RotateWebhookRequest>,
    ) -> Result<v1::Webhook, Status> {
        let (caller, own) = (caller(&request), own(&request));
        let message = request.into_inner();
        let Named { endpoint, of } = self.own(&own, message.webhook).await?;
        let secret = Secret::read(&message.secret).map_err(|misfit| invalid(misfit.to_string()))?;
        let (party, keeps_former) = (of.party, !message.at_once);
        let SealedEndpoint { secret, erasures, .. } =
            self.seal(party, String::new(), secret).await?;
        let secret_text = HEXLOWER.encode(secret.bytes());
        let (request, _) = asked(v1::RotateWebhookRequest { secret: secret_text, ..message })?;
        let wish = Wish::RotateEndpoint { endpoint, party, secret, keeps_former, erasures };
        self.engine.tell(wish.by(caller, request)).await?;
        let found = self.named(endpoint).await?;
        self.message(&found).await
    }

    /// Those of a party, or all.
    pub async fn list(
        &self,
        request: &Request<v1::ListWebhooksRequest>,
    ) -> Result<v1::ListWebhooksResponse, Status> {
        let party = &request.get_ref().party_id;
        own(request).of_party(party)?;
        let party: Option<PartyId> = match &party[..] {
            [] => None,
            party => Some(id(party, "party_id")?),
        };
        let found = self.engine.ask(|control| {
            let all = control.endpoints().all();
            let those = all.filter(|(_, of)| party.is_none_or(|party| party == of.party));
            let named = |(endpoint, of): (Lsn, &Endpoint)| Named { endpoint, of: of.clone() };
            Ok(those.map(named).collect::<Vec<_>>())
        });
        let mut webhooks = Vec::new();
        for named in found.await? {
            webhooks.push(self.message(&named).await?);
        }
        Ok(v1::ListWebhooksResponse { webhooks })
    }

    /// It is told again.
    pub async fn replay(
        &self,
        request: &Request<v1::ReplayWebhookRequest>,
    ) -> Result<v1::Webhook, Status> {
        let (own, message) = (own(request), request.get_ref());
        let named = self.own(&own, message.webhook).await?;
        let from = (message.from_lsn > 0).then_some(Lsn(message.from_lsn));
        self.webhooks.replay(named.endpoint, from).await?;
        self.message(&named).await
    }

    /// Sends something there now.
    pub async fn test(
        &self,
        request: &Request<v1::TestWebhookRequest>,
    ) -> Result<v1::TestWebhookResponse, Status> {
        let (own, message) = (own(request), request.get_ref());
        let named = self.own(&own, message.webhook).await?;
        let (outcome, webhook_id) = self.webhooks.test(self.engine, named.endpoint).await?;
        let delivered = matches!(outcome, crate::rails::hook::Outcome::Delivered(_));
        Ok(v1::TestWebhookResponse { delivered, outcome: outcome.text(), webhook_id })
    }

    async fn seal(
        &self,
        party: PartyId,
        url: String,
        secret: Secret,
    ) -> Result<SealedEndpoint, Status> {
        // Who is erased, or not there, is told so before a key is looked for.
        let known = self.engine.ask(|control| {
            control.party(party)?;
            control.check_open(party, false)
        });
        known.await?;
        let vault = self.engine.vault().clone();
        let sealed = trail::aside(move || vault.seal_endpoint(party, &url, secret.bytes()));
        Ok(sealed.await?)
    }

    async fn named(&self, endpoint: Lsn) -> Result<Named, Status> {
        let found = self.engine.ask(|control| {
            let of = control.endpoints().get(endpoint)?.clone();
            Ok(Named { endpoint, of })
        });
        Ok(found.await?)
    }

    /// The same, if whoever calls may do something about it.
    async fn own(&self, own: &Own, endpoint: u64) -> Result<Named, Status> {
        trail::names("webhook", || endpoint.to_string());
        let named = self.named(Lsn(endpoint)).await?;
        own.party(named.of.party)?;
        Ok(named)
    }

    async fn message(&self, Named { endpoint, of }: &Named) -> Result<v1::Webhook, Status> {
        let (vault, sealed) = (self.engine.vault().clone(), of.clone());
        let url = trail::aside(move || vault.endpoint_url(&sealed)).await;
        let url = match url {
            Ok(url) => url.to_string(),
            // Its party is just being erased: with it, the endpoint goes.
            Err(VaultError::NoKey(_)) => String::new(),
            Err(VaultError::Storage(error)) => return Err(storage(&error)),
            Err(error) => return Err(error.into()),
        };
        let HookStanding { state, next, failures, failing_since, next_try, reason } =
            self.webhooks.standing(*endpoint).unwrap_or(HookStanding {
                state: "sending",
                next: endpoint.next(),
                failures: 0,
                failing_since: None,
                next_try: None,
                reason: String::new(),
            });
        let now = pipeline::now();
        let former = of.former.as_ref().filter(|former| now < former.until);
        Ok(v1::Webhook {
            webhook: endpoint.0,
            party_id: bytes(&of.party.0),
            url,
            types: of.topics.iter().map(|topic| topic.name().to_owned()).collect(),
            added_by: of.by.clone(),
            added_at_us: of.added_at.0,
            state: state.to_owned(),
            next_lsn: next.0,
            failures,
            failing_since_us: failing_since.map_or(0, |at| at.0),
            next_try_us: next_try.map_or(0, |at| at.0),
            reason,
            former_until_us: former.map_or(0, |former| former.until.0),
        })
    }
}

/// What an endpoint is told of, ascending; without any word everything.
fn topics(words: &[String]) -> Result<Vec<Topic>, Status> {
    if words.is_empty() {
        return Ok(Topic::ALL.to_vec());
    }
    let topic = |word: &String| {
        Topic::from_name(word).ok_or_else(|| {
            let known = Topic::ALL.map(Topic::name).join(", ");
            invalid(format!("type {word:?} is not known; known types: {known}"))
        })
    };
    let mut topics = words.iter().map(topic).collect::<Result<Vec<_>, _>>()?;
    topics.sort_unstable();
    topics.dedup();
    Ok(topics)
}
