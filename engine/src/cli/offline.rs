//! What needs no engine: it is done here, and nothing is looked for at `--server`.

use super::{CliError, Operate, Target};
use super::{access, audit, audit_log, backup, cert, evidence, help, operator, restore, voucher};

/// Runs what needs no engine; `None` if it needs one.
pub fn run(target: &Target, command: &Operate) -> Option<Result<(), CliError>> {
    use evidence::ProofCommand::Check;
    let json = target.json;
    // Making a key needs no engine, and what is checked offline needs none either.
    if let Operate::Voucher(voucher::VoucherCommand::Keygen(args)) = command {
        return Some(voucher::keygen(args, json));
    }
    if let Operate::Operator(command) = command {
        return operator::offline(command, json);
    }
    if let Operate::Access(command) = command {
        return access::offline(command, json);
    }
    if let Operate::Cert(command) = command {
        return Some(cert::run(command, json));
    }
    if let Operate::Completions(args) = command {
        return Some(help::completions(args));
    }
    if let Operate::Man(args) = command {
        return Some(help::man(args, json));
    }
    if let Operate::Audit(args) = command {
        return Some(audit::run(args, json));
    }
    if let Operate::AuditLog(args) = command {
        return Some(audit_log::run(args, json));
    }
    if let Operate::Proof(Check { file, network_id, engine_key }) = command {
        let trust = crate::proof::Trust { network: *network_id, engine_key: *engine_key };
        return Some(evidence::check(file, &trust, json));
    }
    if let Operate::Backup(command) = command {
        return backup::offline(command, target);
    }
    if let Operate::Restore(args) = command
        && args.then.is_none()
    {
        return Some(restore::offline(args, json));
    }
    None
}
