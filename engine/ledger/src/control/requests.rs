//! The requests that were answered, by id: what makes a call that is repeated harmless.
//!
//! An id is remembered for at least `REQUEST_DAYS` days of the journal's own time, then forgotten,
//! so that the table does not grow with the years. When, follows from the records' timestamps
//! alone: every replay forgets the same ids at the same record.
//!
//! Whoever may change no more than its own (a facilitator, the owner of a party) has ids of its
//! own: it cannot take one ahead that an operator will use, and is not told which those were.

use super::{Control, rows};
use crate::envelope::{Caller, Request, Role};
use crate::limits::{REQUEST_SPAN_DAYS, REQUEST_SPANS};
use crate::refusal::Refusal;
use crate::row::{RowChange, RowKey};
use crate::types::{Amount, Digest, Lsn, Timestamp, Total, content_digest};
use crate::wish::Wish;
use foldhash::fast::RandomState;
use rkyv::{Archive, Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};

const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// The first half of a digest: the chance that two are equal by accident is one in 2^64 for four
/// billion of them, and whoever makes them equal on purpose fools nobody else.
type Half = [u8; 16];

/// A request that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(super) struct Answered {
    key: Half,
    content: Half,
    lsn: Lsn,
}

/// The requests that are remembered.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Requests {
    /// By span of time, oldest first.
    spans: VecDeque<Span>,
    /// How many there may be.
    limit: usize,
    /// What came since the last checkpoint began, by span.
    new: Vec<(i64, Vec<Answered>)>,
    /// The first span that was not forgotten, if any was since then.
    forgotten: Option<i64>,
}

/// What was asked in one span of days.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    number: i64,
    /// The record that answered the first of them.
    first: Lsn,
    requests: HashMap<Half, Known, RandomState>,
}

/// What is known of a request besides its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    content: Half,
    lsn: Lsn,
}

impl Requests {
    pub fn new(limit: usize) -> Self {
        Self { spans: VecDeque::new(), limit, new: Vec::new(), forgotten: None }
    }

    /// How many there may be.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Has so many at most.
    pub fn bound(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.spans.iter().map(|span| span.requests.len()).sum()
    }

    /// The record that answered a request before, of the desk or of who has ids of its `own`.
    pub fn answered(&self, own: Option<&str>, request: &Request) -> Result<Option<Lsn>, Refusal> {
        let key = key(own, &request.id);
        // Mostly a call is repeated soon.
        match self.spans.iter().rev().find_map(|span| span.requests.get(&key)) {
            None => Ok(None),
            Some(answered) if answered.content == half(request.content) => Ok(Some(answered.lsn)),
            Some(_) => Err(Refusal::RequestReused(request.id.clone())),
        }
    }

    /// Whether there is room for one more.
    pub fn room(&self) -> Result<(), Refusal> {
        if self.len() < self.limit { Ok(()) } else { Err(Refusal::RequestsFull(self.limit)) }
    }

    /// Takes note of the event at `lsn`, and forgets what is old by its time.
    pub fn apply(&mut self, lsn: Lsn, at: Timestamp, asked: Option<(&Caller, &Request)>) {
        let now = span(at);
        while self.spans.front().is_some_and(|span| now - span.number > REQUEST_SPANS) {
            self.spans.pop_front();
            self.forgotten = Some(now - REQUEST_SPANS);
        }
        let Some((caller, request)) = asked else { return };
        let requests = &mut self.span(now, lsn).requests;
        let (key, content) = (key(own(caller), &request.id), half(request.content));
        requests.insert(key, Known { content, lsn });
        if self.new.last().is_none_or(|(span, _)| *span < now) {
            self.new.push((now, Vec::new()));
        }
        let (_, new) = self.new.last_mut().expect("one was added if there was none");
        new.push(Answered { key, content, lsn });
    }

    /// The span of this number, the last one; begun with the record at `lsn` if it is new.
    fn span(&mut self, number: i64, lsn: Lsn) -> &mut Span {
        if self.spans.back().is_none_or(|span| span.number < number) {
            self.spans.push_back(Span { number, first: lsn, requests: HashMap::default() });
        }
        self.spans.back_mut().expect("one was added if there was none")
    }

    /// The record that answered the first of all that are remembered; `None` if none is.
    pub fn first(&self) -> Option<Lsn> {
        self.spans.front().map(|span| span.first)
    }

    /// What came since this was asked last, by span, and the first span that was not forgotten, if
    /// any was.
    pub fn take_new(&mut self) -> (Vec<(i64, Vec<Answered>)>, Option<i64>) {
        let (mut new, forgotten) = (std::mem::take(&mut self.new), self.forgotten.take());
        new.retain(|(span, _)| forgotten.is_none_or(|first| *span >= first));
        (new, forgotten)
    }

    /// Puts back a row of them. Rows come in the order of spans.
    pub fn restore(&mut self, span: i64, answered: Vec<Answered>) -> Result<(), String> {
        let Some(first) = answered.first() else { return Ok(()) };
        if self.spans.back().is_some_and(|last| last.number > span) {
            return Err("it is not in its place".into());
        }
        self.span(span, first.lsn).requests.extend(
            answered
                .into_iter()
                .map(|Answered { key, content, lsn }| (key, Known { content, lsn })),
        );
        Ok(())
    }

    /// Whether the same is remembered, whatever of it a checkpoint holds.
    pub fn is_same(&self, other: &Self) -> bool {
        self.spans == other.spans
    }
}

impl Control {
    /// Whether a wish keeps harm away, says what has happened already, or closes and settles what
    /// is owed. Those are never refused for lack of room among the requests: no window waits for
    /// one to be forgotten.
    pub(super) fn goes_on_when_full(&self, wish: &Wish) -> bool {
        match wish {
            Wish::RevokeSigner { .. }
            | Wish::EraseParty { .. }
            | Wish::SetEngineKey { .. }
            | Wish::SetOperatorKey { .. }
            | Wish::RemoveOperatorKey { .. }
            | Wish::RevokeIdentity { .. }
            | Wish::RotateIdentity { .. }
            | Wish::RemoveEndpoint { .. }
            | Wish::RotateEndpoint { .. }
            | Wish::SetEyes(_)
            | Wish::WithdrawProposal { .. }
            | Wish::CloseWindow
            | Wish::SealWindow(_)
            | Wish::ArchiveWindow(_)
            | Wish::WarnBudgets(_)
            | Wish::DisputeWindow { .. }
            | Wish::EndDispute { .. }
            | Wish::CreateBatch(_)
            | Wish::ApproveBatch { .. }
            | Wish::AbortBatch { .. }
            | Wish::SubmitLegs(_)
            | Wish::MoveLegs { .. }
            | Wish::MoveEnded { .. }
            | Wish::ReportLegs { .. }
            | Wish::ResolveLeg { .. }
            | Wish::BookLegs { .. }
            | Wish::ReleaseExposure { .. }
            | Wish::RaiseTroubles(_)
            | Wish::AckTroubles { .. }
            | Wish::BeginHold(_)
            | Wish::ReleaseHold { .. } => true,
            Wish::UpsertParty(upsert) => {
                upsert.suspended && self.parties.contains_key(&upsert.party)
            }
            Wish::SetCreditLimit { limit, .. } => *limit == Total::ZERO,
            // A budget of nothing stops a key.
            Wish::SetBudgets { budgets, .. } => budgets.iter().any(|of| of.amount == Amount(0)),
            Wish::CreateAsset { .. }
            | Wish::AddSigner { .. }
            | Wish::AddIdentity(_)
            | Wish::AddEndpoint { .. }
            | Wish::ConfirmProposal { .. }
            | Wish::RecordDeposit { .. } => false,
        }
    }
}

/// A row of requests that were answered in one span.
pub(super) fn row(span: i64, answered: &[Answered]) -> RowChange {
    let first = answered.first().map_or(0, |answered| answered.lsn.0);
    let value = rows::bytes(&answered.to_vec());
    RowChange::Put { key: RowKey::Requests(span, first).encode(), value }
}

/// The number of the span of days in which a record was made.
fn span(at: Timestamp) -> i64 {
    at.0.div_euclid(REQUEST_SPAN_DAYS * DAY_MICROS)
}

/// The name of whoever has ids of its own.
pub(super) fn own(caller: &Caller) -> Option<&str> {
    match caller.role {
        Role::Facilitator | Role::Party => Some(&caller.name),
        Role::Engine | Role::Anyone | Role::Operator | Role::Approver | Role::Auditor => None,
    }
}

fn key(own: Option<&str>, id: &str) -> Half {
    half(match own {
        // A name holds no zero.
        Some(name) => content_digest(
            "request id of an identity",
            &[name.as_bytes(), &[0], id.as_bytes()].concat(),
        ),
        None => content_digest("request id", id.as_bytes()),
    })
}

fn half(digest: Digest) -> Half {
    *digest.0.first_chunk().expect("a digest has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::super::Decision;
    use super::*;
    use crate::envelope::Via;
    use crate::event::Genesis;
    use crate::fixture;
    use crate::fund::tests::unlinked;
    use crate::limits::REQUEST_DAYS;
    use crate::types::{
        AssetDef, AssetNumber, FitKey, NetworkId, PartyId, SettlementModel, SignerKey, WindowNumber,
    };

    fn request(id: u64) -> Request {
        Request { id: format!("r{id}"), content: Digest([1; 32]) }
    }

    fn desk() -> Caller {
        Caller::grpc("ann".into())
    }

    /// An owner could use the id of a line that an operator would import, whose call then failed,
    /// or was taken for done.
    #[test]
    fn whoever_sees_its_own_alone_has_ids_of_its_own() {
        let owner = |name: &str, role| Caller { name: name.into(), role, via: Via::Key };
        let (a, b) = (owner("a", Role::Party), owner("b", Role::Facilitator));
        let mut requests = Requests::new(10);
        let other = Request { content: Digest([2; 32]), ..request(1) };
        requests.apply(Lsn(5), Timestamp(0), Some((&a, &request(1))));
        for caller in [&b, &desk(), &owner("ann", Role::Approver), &Caller::engine()] {
            assert_eq!(requests.answered(own(caller), &other), Ok(None), "{caller:?}");
        }
        assert_eq!(requests.answered(own(&a), &request(1)), Ok(Some(Lsn(5))));
        assert_eq!(requests.answered(own(&a), &other), Err(Refusal::RequestReused("r1".into())));
        requests.apply(Lsn(6), Timestamp(0), Some((&desk(), &other)));
        let approver = owner("bob", Role::Approver);
        assert_eq!(requests.answered(own(&approver), &other), Ok(Some(Lsn(6))), "the desk is one");
        // No name and id together are those of another.
        let joined = Request { id: format!("x\0{}", request(1).id), ..request(1) };
        assert_eq!(requests.answered(Some(""), &joined), Ok(None));
    }

    /// Ids were never forgotten: after 33 million of them every changing command was refused for
    /// ever.
    #[test]
    fn an_id_is_remembered_for_thirty_days_at_least_and_not_for_ever() {
        for day in 0..40 {
            let mut requests = Requests::new(10);
            let asked = Timestamp(day * DAY_MICROS + 77);
            requests.apply(Lsn(5), asked, Some((&desk(), &request(1))));
            let after = |days: i64| Timestamp(asked.0 + days * DAY_MICROS);
            requests.apply(Lsn(6), after(REQUEST_DAYS), None);
            assert_eq!(
                requests.answered(None, &request(1)),
                Ok(Some(Lsn(5))),
                "asked on day {day}"
            );
            let other = Request { content: Digest([2; 32]), ..request(1) };
            assert_eq!(requests.answered(None, &other), Err(Refusal::RequestReused("r1".into())));
            requests.apply(Lsn(7), after(REQUEST_DAYS + REQUEST_SPAN_DAYS), None);
            assert_eq!((requests.answered(None, &request(1)), requests.len()), (Ok(None), 0));
        }
    }

    #[test]
    fn a_steady_stream_of_requests_is_held_for_some_days_and_no_longer() {
        let (mut requests, per_day) = (Requests::new(10_000), 100u64);
        for n in 0..400 * per_day {
            let at = Timestamp(i64::try_from(n / per_day).unwrap() * DAY_MICROS);
            requests.room().unwrap();
            requests.apply(Lsn(n + 1), at, Some((&desk(), &request(n))));
        }
        let days = u64::try_from(REQUEST_DAYS + REQUEST_SPAN_DAYS).unwrap();
        assert!(requests.len() <= usize::try_from(days * per_day).unwrap());
        assert_eq!(
            requests.answered(None, &request(399 * per_day)),
            Ok(Some(Lsn(399 * per_day + 1)))
        );
    }

    /// A full table refused everything that changes anything, also what keeps harm away.
    #[test]
    fn harm_is_kept_away_when_no_more_request_ids_fit() {
        let genesis = Genesis { network: NetworkId([1; 32]), lifetime_seconds_max: 60 };
        let mut control = Control::new(genesis, unlinked(Lsn(1)));
        let mut lsn = Lsn(1);
        let mut done = |control: &mut Control, n: u64, wish: Wish| {
            let command = wish.by(Caller::grpc("ann".into()), request(n));
            let Decision::New(fact, made) = control.decide(command, Timestamp(7))? else {
                panic!("every id is new")
            };
            lsn = lsn.next();
            control.apply(unlinked(lsn), Timestamp(7), &fact, made);
            Ok::<_, Refusal>(())
        };
        let (party, asset, signer) = (PartyId([2; 32]), AssetNumber(978), SignerKey([3; 32]));
        let model = SettlementModel::Bilateral;
        let def = AssetDef { number: asset, code: "EUR".into(), scale: 2, model };
        let upsert = |party, suspended| Wish::UpsertParty(fixture::upsert(party, "P", suspended));
        let limit = |limit| Wish::SetCreditLimit { party, asset, limit };
        let added = || Wish::AddSigner { signer: FitKey::checked(signer), party, caps: Vec::new() };
        for (n, wish) in
            [(1, Wish::CreateAsset { asset: def }), (2, upsert(party, false)), (3, added())]
        {
            done(&mut control, n, wish).unwrap();
        }
        control.bound_requests(3);
        let reference = String::new();
        let deposit = Wish::RecordDeposit { party, asset, amount: Total(5), reference };
        for wish in [
            deposit,
            added(),
            upsert(party, false),
            // Somebody new is no danger to be held off.
            upsert(PartyId([9; 32]), true),
            limit(Total(9)),
        ] {
            assert_eq!(done(&mut control, 4, wish), Err(Refusal::RequestsFull(3)));
        }
        let (window, reason) = (WindowNumber(1), "stolen".to_owned());
        let safe = [
            Wish::RevokeSigner { signer },
            upsert(party, true),
            limit(Total::ZERO),
            Wish::CloseWindow,
            Wish::DisputeWindow { window, reason: reason.clone() },
            Wish::EndDispute { window, reason },
        ];
        for (n, wish) in (10..).zip(safe) {
            done(&mut control, n, wish).unwrap();
        }
        // And each of them is remembered.
        assert_eq!(
            (control.request_count(), control.answered(&request(13))),
            (9, Ok(Some(Lsn(8))))
        );
    }
}
