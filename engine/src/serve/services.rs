//! What is served over gRPC, and where each call of operators is written down.

use super::ServeError;
use crate::api::{Access, Gated, OperatorApi, Trail, VouchersApi};
use crate::config::{Config, WebhookSettings};
use crate::files;
use crate::limits::{MESSAGE_BYTES_MAX, VOUCHERS_MESSAGE_BYTES_MAX};
use crate::rails::hook::{Reach, Roots};
use crate::settle::{HookSettings, Webhooks};
use crate::trail::{AuditLog, Writer};
use std::path::Path;
use tallystick_proto::v1::operator_server::OperatorServer;
use tallystick_proto::v1::vouchers_server::VouchersServer;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The services, for whichever listener.
pub(super) struct Services {
    vouchers: VouchersServer<VouchersApi>,
    operator: OperatorServer<OperatorApi>,
    audit_log: AuditLog,
}

impl Services {
    /// These two; each call of operators is written down.
    pub fn new(vouchers: VouchersApi, operator: OperatorApi, audit_log: AuditLog) -> Self {
        let vouchers =
            VouchersServer::new(vouchers).max_decoding_message_size(VOUCHERS_MESSAGE_BYTES_MAX);
        let operator = OperatorServer::new(operator).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Self { vouchers, operator, audit_log }
    }

    /// Behind the gate of a listener.
    pub fn behind(&self, access: Access, routes: Routes) -> Routes {
        let operator = Gated::new(self.operator.clone(), access.clone());
        routes
            .add_service(Gated::new(self.vouchers.clone(), access))
            .add_service(Trail::new(operator, self.audit_log.clone()))
    }

    /// Where calls of operators are written down.
    pub fn audit_log(&self) -> AuditLog {
        self.audit_log.clone()
    }
}

/// What is served over gRPC, by an owner whose health is reported there.
pub(super) async fn over_grpc(
    services: &Services,
    access: Access,
    health: &HealthReporter,
) -> Routes {
    health.set_serving::<VouchersServer<VouchersApi>>().await;
    health.set_serving::<OperatorServer<OperatorApi>>().await;
    health.set_service_status("", ServingStatus::Serving).await;
    services.behind(access, beside(health))
}

/// What is served beside the services: how they are, and what they understand.
pub(super) fn beside(health: &HealthReporter) -> Routes {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tallystick_proto::FILE_DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let health = HealthServer::new(HealthService::from_health_reporter(health.clone()));
    Routes::new(health)
        .add_service(reflection().build_v1().expect("the descriptors were made by the build"))
        .add_service(reflection().build_v1alpha().expect("the descriptors were made by the build"))
}

/// Where parties are told over HTTP.
///
/// # Errors
/// `WebhookRoots` when the file of authorities cannot be used.
pub(super) fn tells(of: &WebhookSettings) -> Result<Webhooks, ServeError> {
    let roots = of.ca_file.as_deref().map(roots).transpose();
    Ok(Webhooks::new(HookSettings {
        reach: Reach { allow_private: of.allow_private },
        roots: roots.map_err(|why| ServeError::WebhookRoots { why })?.unwrap_or_default(),
        timeout: of.timeout.0,
        retries: of.retries.iter().map(|time| time.0).collect(),
    }))
}

/// The authorities that a file names.
pub(super) fn roots(path: &Path) -> Result<Roots, String> {
    let bytes = std::fs::read(path).map_err(|error| files::why(path, &error))?;
    Roots::read(&bytes).map_err(|misfit| format!("{}: {misfit}", path.display()))
}

/// Where each call of operators is written down.
pub(super) fn audit_log(config: &Config) -> Result<(AuditLog, Writer), ServeError> {
    let dir = config.audit_log_dir();
    let opened = AuditLog::open(&dir, config.audit_log_files);
    opened.map_err(|why| ServeError::AuditLog { dir, why })
}
