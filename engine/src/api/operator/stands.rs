//! How the engine stands: what `GetStatus` answers.

use super::service::{Answer, OperatorApi};
use crate::api::door::Visits;
use crate::api::messages::key_tables_messages;
use crate::api::{proposals, settlement};
use crate::log;
use crate::pipeline::now;
use bytes::Bytes;
use tallystick_proto::v1;
use tonic::Response;

pub(super) async fn status(api: &OperatorApi) -> Answer<v1::Status> {
    let count = |n: usize| u64::try_from(n).expect("a count fits 64 bits");
    let (engine, edge) = (&api.engine, &api.edge);
    let figures = engine.figures().await?;
    let (network, window, (parties, signers), batches, (engine_key, ids, ids_max)) = engine
        .ask(|control| {
            let (network, window) = (control.genesis().network, control.open_window().number);
            let ids = control.request_count();
            let own = (control.engine_key(), ids, control.requests_max());
            Ok((network, window, control.counts(), control.batch_count(), own))
        })
        .await?;
    let (vitals, hooks) = (engine.vitals(), edge.webhooks.counts());
    let (verify, meters) = (vitals.verify, vitals.meters);
    let every = edge.window_every.map_or(0, |every| every.as_millis());
    let (settling, open, kept, (hold, named)) = settlement::stands(engine).await?;
    let standing = settlement::troubles(engine.troubles());
    Ok(Response::new(v1::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        network_id: Bytes::copy_from_slice(&network.0),
        durable_lsn: vitals.durable.0,
        open_window: window.0,
        window_vouchers: figures.credited,
        verify_backend: verify.backend.name().to_owned(),
        verify_threads: u32::try_from(vitals.verify_threads).expect("threads are few"),
        shards: u32::from(vitals.shards),
        parties: count(parties),
        signers: count(signers),
        channels: figures.channels,
        batches: count(batches),
        started_at_us: edge.started_at.0,
        inflight_vouchers: vitals.inflight_vouchers,
        vouchers_verified: meters.verified(),
        cpu_total_us: meters.cpu_total_us(),
        cpu_verify_us: meters.cpu_verify_us(),
        window_every_ms: u64::try_from(every).unwrap_or(u64::MAX),
        verify_backend_text: verify.backend.description().to_owned(),
        verify_tables: key_tables_messages(&verify),
        verify_rejects_confirmed: verify.confirmed,
        verify_alarms: verify.alarms,
        engine_key: engine_key.map_or(Bytes::new(), |key| Bytes::copy_from_slice(&key.0)),
        schedule: settlement::schedule(&edge.board),
        batches_by_state: settling.by_state.clone(),
        legs_in_flight: settling.in_flight,
        legs_unknown: settling.unknown,
        troubles: standing.iter().cloned().chain(kept).collect(),
        standing,
        troubles_open: open,
        operators: u32::try_from(edge.operators.count() + named).expect("operators are few"),
        four_eyes: engine.four_eyes(),
        request_ids: count(ids),
        request_ids_max: count(ids_max),
        log_lines_lost: log::lost(),
        audit_lines_lost: api.audit_log.lost(),
        connections: count(edge.visits.get().map_or(0, Visits::here)),
        connections_turned_away: edge.visits.get().map_or(0, Visits::turned_away),
        tokens_refused: edge.refused.count(),
        backup_dir: edge.backups.dir(),
        last_backup: edge.backups.last().await,
        hold,
        webhooks: hooks.sending + hooks.failing + hooks.paused,
        webhooks_failing: hooks.failing,
        webhooks_paused: hooks.paused,
        proposals_open: engine.standing(proposals::open).unwrap_or_default(),
        ..settling.ages(now())
    }))
}
