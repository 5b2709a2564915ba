//! Every metric there is: the one table. What is served, `docs/METRICS.md`, the dashboards and the
//! alerts name what stands here and nothing else.
//!
//! No label ever holds a party, a signer, a batch, a channel, a file or an operator: the number of
//! series does not grow with who uses the engine, and nobody's name is in it. An asset is its
//! number.

/// What a value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, from 0 at each start.
    Counter,
    /// How it is now.
    Gauge,
    /// How long things took.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name: what it counts, then its unit, then `_total` if it only rises.
    pub name: &'static str,
    /// What its value says.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it is, in a sentence; of labels, their values.
    pub help: &'static str,
    /// What it is about: a section of the document and a row of a dashboard.
    pub section: &'static str,
}

/// Makes the metrics and the list of all of them.
macro_rules! table {
    ($(
        $section:literal {
            $($id:ident $name:literal $kind:ident [$($label:literal),*] $help:literal;)*
        }
    )*) => {
        $($(
            #[doc = $help]
            pub const $id: Metric = Metric {
                name: concat!("tallystick_", $name),
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
                section: $section,
            };
        )*)*

        /// Every metric, in the order of the document.
        pub const ALL: &[Metric] = &[$($($id),*),*];
    };
}

table! {
    "The process" {
        INFO "info" Gauge ["version"]
            "1. The label says which engine this is";
        READY "ready" Gauge []
            "1 while vouchers are taken, else 0: what /readyz says";
        STANDBY "standby" Gauge []
            "1 while another node owns the journal and this one stands by, else 0";
        STARTED "started_timestamp_seconds" Gauge []
            "When the process was started, in seconds since 1970";
        COMPLETE "metrics_complete" Gauge []
            "1 if the whole page could be filled, 0 before the engine serves, while it stops, and when it did not answer in time: all that follows is missing then, or a part";
        CPU_SECONDS "cpu_seconds_total" Counter ["of"]
            "CPU time: all, or verify (checking signatures and building tables for it, a part of all)";
        MEMORY_BYTES "memory_bytes" Gauge []
            "Memory that the process holds (resident)";
        LOG_LINES_LOST "log_lines_lost_total" Counter []
            "Lines of the log that could not be written";
    }
    "Vouchers" {
        VOUCHERS "vouchers_total" Counter ["outcome"]
            "Vouchers answered, by outcome: credited, stale, or why not, as in docs/FORMATS.md";
        ACK_SECONDS "ack_seconds" Histogram []
            "From a frame's coming in to its answer. Their count is that of frames";
        STAGE_SECONDS "stage_seconds" Histogram ["stage"]
            "The parts of that: check (waiting for its turn, and signatures), order (its place in the one order), settle (durable, and applied by the shards)";
        IN_FLIGHT "vouchers_in_flight" Gauge []
            "Vouchers that came in and are not answered";
        QUEUE "queue_depth" Gauge ["queue"]
            "What waits in a queue of the pipeline: frames, asks, items (of the fullest shard), pages";
        HEADROOM "exposure_headroom_ratio" Gauge ["asset", "quantile"]
            "What parties may owe and do not yet, as a part of all that they may: the party with the least (0), and what one in twenty (0.05), one in four (0.25), one in two (0.5) is below. Counted in hundredths over those with a limit or a deposit, of many a part at a time";
        CHANNELS "channels" Gauge []
            "Channels held";
    }
    "Payments over HTTP" {
        PAYMENTS "payments_total" Counter ["call", "result"]
            "What sellers' servers were answered, by call: verify (is it good) and settle (make it), and by result: made, repeated (it was made before, under the same identifier), good (by verify), or the reason of docs/X402.md";
        PAYMENT_SECONDS "payment_seconds" Histogram ["call"]
            "From a payment's coming in, once its identity's rate lets it, to its answer: verify, settle";
        CLAIMS "payment_claims_open" Gauge []
            "Payment identifiers that are durable and whose end is not: so many payments are under way";
        JOINS "payment_joins" Gauge []
            "Requests that wait for what comes of another one with the same identifier";
    }
    "Checking signatures" {
        SIGNATURES "signatures_checked_total" Counter []
            "Signatures checked";
        BACKEND "verify_backend" Gauge ["backend"]
            "1 for what checks signatures now: lanes, avx2, portable, reference; 0 for the others";
        ALARMS "verify_alarms_total" Counter []
            "Valid signatures that were rejected: above 0 the machine or the code is broken";
        CONFIRMED "verify_rejects_confirmed_total" Counter []
            "Bad signatures that the reference confirmed";
        TABLES "verify_tables" Gauge ["tier"]
            "Tables that make known keys cheap: small, large, hot";
    }
    "Journal and disk" {
        SYNC_SECONDS "journal_sync_seconds" Histogram []
            "One write of records to disk, with its fsync; on a stream, until a quorum of its servers has that";
        JOURNAL_WAITING "journal_waiting_seconds" Gauge []
            "For how long the append under way has waited for the servers of the journal's stream; 0 where the journal is on the own disk";
        JOURNAL_UNSETTLED "journal_unsettled_total" Counter []
            "Appends to the journal's stream whose fate was not known at first, and was found out";
        JOURNAL_VOID "journal_void_total" Counter []
            "Messages in the journal's stream that do not count: above 0 somebody else writes into it";
        DURABLE "journal_durable_lsn" Gauge []
            "The last record that is durable";
        CHECKPOINT "checkpoint_lsn" Gauge []
            "The last record that the last checkpoint holds: what is behind it is replayed at a start";
        CHECKPOINT_AGE "checkpoint_age_seconds" Gauge []
            "Since that record was written; 0 without a checkpoint";
        CHECKPOINTS "checkpoints_total" Counter []
            "Checkpoints made";
        DISK_FREE_BYTES "disk_free_bytes" Gauge []
            "Free on the disk of the data directory";
        DISK_RESERVE_BYTES "disk_reserve_bytes" Gauge []
            "Below so much no vouchers are taken: disk_reserve_bytes of the configuration";
        DISK_LOW "disk_low" Gauge []
            "1 while vouchers are refused because too little is free";
        LAST_BACKUP "last_backup_timestamp_seconds" Gauge []
            "When the newest backup in backup_dir was begun, in seconds since 1970; 0 if there is none, and missing without a backup_dir";
        CLOCK_SKEW "clock_skew_seconds" Gauge []
            "How far the records' time is ahead of the system's clock; below 0: behind";
    }
    "Windows" {
        WINDOW "window_open" Gauge []
            "The number of the open window";
        WINDOW_AGE "window_open_age_seconds" Gauge []
            "Since the window before it was closed; 0 in the first";
        WINDOW_VOUCHERS "window_vouchers" Gauge []
            "Vouchers credited in the open window";
        UNSEALED "windows_unsealed" Gauge []
            "Closed windows that have no seal yet";
        DISPUTED "windows_disputed" Gauge []
            "Windows that an operator disputes";
        SEAL_SECONDS "seal_seconds" Histogram []
            "Sealing one window: netting, keeping its evidence, its root journaled";
        SCHEDULE_LAG "schedule_lag_seconds" Gauge ["asset"]
            "How late the schedule is: since when a window should be closed, or a batch be made, that is not; 0 if none";
        SCHEDULE_TROUBLE "schedule_trouble" Gauge ["asset"]
            "1 while the schedule of an asset is held up: status says by what";
        APPROVED_TODAY "schedule_approved_units" Gauge ["asset"]
            "What the schedule has approved since midnight UTC, in asset units";
        APPROVE_BOUND "schedule_approve_bound_units" Gauge ["asset"]
            "The most that it approves on a day: approve_below_per_day";
    }
    "Settlement" {
        BATCHES "batches" Gauge ["rail", "state"]
            "Batches by state: computed, approved, submitting, settled, settled_with_carry, aborted";
        BATCH_OLDEST "batch_oldest_seconds" Gauge ["waits_for"]
            "How long the oldest batch has waited for approval, or since its approval for the end of its legs (legs); 0 without any";
        LEGS "legs" Gauge ["rail", "state"]
            "Legs of all batches that were approved, by state: ready, sent, accepted, unknown, confirmed, rejected, returned";
        PAY_INS_FAILED "pay_ins_failed" Gauge ["rail"]
            "Of these, pay-ins that were rejected or returned: a party has not paid";
        LEG_OLDEST "leg_oldest_seconds" Gauge ["state"]
            "The longest that a leg may have been sent or accepted (since its batch was approved), or has been unknown; 0 without any";
        MONEY "money_in_flight_units" Gauge ["asset", "way"]
            "What batches move whose legs have not all ended, in asset units: pay_in, pay_out";
        BALANCE "clearing_balance_units" Gauge ["asset"]
            "What batches have left over on the clearing account, less what they took of it, in asset units; below 0: it has advanced money";
        TROUBLES "troubles_open" Gauge ["kind"]
            "Troubles that wait for a person: contradiction, misfit, surplus, refused, held, other";
        PROPOSALS "proposals_open" Gauge []
            "Changes that one has proposed and that wait for another";
        WEBHOOKS "webhooks" Gauge ["state"]
            "Webhooks of parties by state: sending, failing (the last delivery failed, and is tried again), paused (too many failed), stopped (who added it may do so no more)";
        WEBHOOK_DELIVERIES "webhook_deliveries_total" Counter ["result"]
            "Requests to webhooks: delivered, failed";
        WEBHOOK_FAILING "webhook_failing_seconds" Gauge []
            "How long the webhook that has failed for longest, and is not paused, does; 0 without any";
        HELD_UP "settlement_held_up" Gauge []
            "What keeps settlement from going on now";
        REQUEST_IDS "request_ids" Gauge []
            "Request ids that are remembered";
        REQUEST_IDS_MAX "request_ids_max" Gauge []
            "How many may be: beyond it nothing more is registered";
        PARTIES "parties" Gauge []
            "Parties registered";
        SIGNERS "signers" Gauge []
            "Keys registered";
    }
    "The door" {
        CONNECTIONS "connections" Gauge ["listener"]
            "Connections now: grpc, http, console";
        TURNED_AWAY "connections_turned_away_total" Counter ["listener"]
            "Connections that found all places taken by busy clients, or all that one address may have";
        CROWDED "connections_address_full_total" Counter ["listener"]
            "Of these, those whose address had all connections that one may have";
        TOO_OFTEN "connections_too_often_total" Counter ["listener"]
            "Connections closed at once, because their address opened too many of late, or had too many calls refused";
        REFUSALS_HELD "refusals_held_total" Counter ["listener"]
            "Calls and requests that were refused (no credential that counts, no such call, too large, a webhook that is not signed) and told so later, because much from their address was refused of late";
        HANDSHAKES_FAILED "tls_handshakes_failed_total" Counter ["listener"]
            "TLS handshakes that failed";
        TLS_ENDS "tls_ends_timestamp_seconds" Gauge ["listener"]
            "When the first of a listener's certificates ends, in seconds since 1970";
        DENIED "calls_denied_total" Counter ["reason"]
            "Calls refused at the door: token (nobody's, or none), right (somebody's who may not do this), metrics_token, metrics_elsewhere (not from this machine), webhook (not the provider's)";
        LIMITED "calls_limited_total" Counter ["limit"]
            "Calls told to come later, by the limit: rate (vouchers a second of an identity), streams (of an identity), calls and changes (how often an identity asks and changes), places (lists, exports, imports, questions at once), open (calls that need no key, of an address), full (vouchers under way, or questions), disk (nearly full)";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_say_their_unit_and_whether_they_only_rise() {
        let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for Metric { name, kind, labels, help, .. } in ALL {
            let plain = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.chars().all(plain), "{name}");
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(
                *kind == Kind::Histogram,
                name.ends_with("_seconds") && is_timed(name),
                "{name}"
            );
            assert!(!help.ends_with('.') && !help.contains('\n'), "{name}");
            for who in ["party", "signer", "batch", "operator", "file", "channel", "key"] {
                assert!(!labels.contains(&who), "{name} has a series for each {who}");
            }
        }
    }

    fn is_timed(name: &str) -> bool {
        ["ack", "stage", "payment", "journal_sync", "seal"]
            .iter()
            .any(|what| name == format!("tallystick_{what}_seconds"))
    }
}
