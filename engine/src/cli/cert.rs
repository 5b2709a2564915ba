//! `cert`: certificates to try TLS out with. The authority's key is thrown away once it has signed
//! them, so nobody can have more made by it.

use super::CliError;
use super::output::{Cell, Output, Record};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// How long they are valid: long enough to try things out, too short to be forgotten in use.
const DAYS: i64 = 90;

/// What every server's certificate is for: this machine.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// `tallystick cert ...`
#[derive(Debug, Subcommand)]
pub enum CertCommand {
    /// Make an authority, a certificate for an engine and, where asked for, some for clients: for
    /// trying out
    #[command(after_help = HELP)]
    Dev(DevArgs),
}

const HELP: &str = "\
Example:
  tallystick cert dev --out certs --name clearing.example --client acme

Files: ca.pem (the authority, for --tls-ca and client_ca), server.pem and server.key (for the
engine's listener), acme.pem and acme.key (for --tls-cert and --tls-key). They are valid for 90
days. The authority's key is not kept: for one client more, make all of them anew in another folder.
An engine in use gets its certificate from your own authority.";

/// `tallystick cert dev`
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Folder for the files; created if it does not exist. No file is ever overwritten
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A name or an IP address by which clients reach the engine, besides this machine's own; may
    /// be repeated
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
    /// A client that gets a certificate of this name; may be repeated
    #[arg(long = "client", value_name = "NAME")]
    clients: Vec<String>,
}

/// A file to be written.
struct Made {
    name: String,
    text: String,
    secret: bool,
}

/// Runs `tallystick cert ...`.
///
/// # Errors
/// When a name is none, or a file is there already or cannot be written.
pub fn run(command: &CertCommand, json: bool) -> Result<(), CliError> {
    let CertCommand::Dev(args) = command;
    check(args)?;
    let made = make(args)
        .map_err(|error| CliError::Failed(format!("the certificates cannot be made: {error}")))?;
    write(&args.out, &made)?;
    let path = |name: &str| args.out.join(name).display().to_string();
    let text = |name: &str| Cell::Text(path(name));
    let mut fields = vec![
        ("ca", text("ca.pem")),
        ("cert", text("server.pem")),
        ("key", text("server.key")),
        ("days", Cell::Count(DAYS.unsigned_abs())),
    ];
    let mut config =
        format!("tls = {{ cert = {:?}, key = {:?}", path("server.pem"), path("server.key"));
    if !args.clients.is_empty() {
        config.push_str(&format!(", client_ca = {:?}", path("ca.pem")));
    }
    fields.push(("config", Cell::Text(format!("{config} }}"))));
    let mut options = format!("--tls-ca {}", path("ca.pem"));
    if let Some(client) = args.clients.first() {
        let (cert, key) = (path(&format!("{client}.pem")), path(&format!("{client}.key")));
        options.push_str(&format!(" --tls-cert {cert} --tls-key {key}"));
    }
    fields.push(("clients", Cell::Text(options)));
    let mut out = Output::new(json);
    out.record(&Record(fields), &Default::default())?;
    super::note(
        "note: for trying out only. `config` goes under a [[listen]] of the engine's configuration, `clients` \
         to every command, with --server https://HOST:PORT",
    );
    out.finish()
}

/// Whether all names can be those of certificates and files.
fn check(args: &DevArgs) -> Result<(), CliError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
    for client in &args.clients {
        let fits = (1..=64).contains(&client.len()) && client.bytes().all(plain);
        if !fits || client.starts_with('.') || matches!(client.as_str(), "ca" | "server") {
            return Err(CliError::Input(format!(
                "--client expects 1 to 64 letters, digits and . _ - @, and neither \"ca\" nor \"server\", got \
                 {client:?}"
            )));
        }
    }
    let host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'*');
    for name in &args.names {
        let is_host = (1..=253).contains(&name.len()) && name.bytes().all(host);
        if !is_host && name.parse::<IpAddr>().is_err() {
            return Err(CliError::Input(format!(
                "--name expects a host's name or an IP address, without a port, got {name:?}"
            )));
        }
    }
    Ok(())
}

/// Everything that is to be written.
fn make(args: &DevArgs) -> Result<Vec<Made>, rcgen::Error> {
    let (ca_key, mut ca) =
        (KeyPair::generate()?, params("Tallystick, for trying out", Vec::new())?);
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);
    let mut made = vec![Made {
        name: "ca.pem".into(),
        text: pem(CERTIFICATE, authority.der()),
        secret: false,
    }];
    let mut sign = |name: &str, mut params: CertificateParams, purpose| {
        let key = KeyPair::generate()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer)?;
        let text = pem(CERTIFICATE, certificate.der());
        made.push(Made { name: format!("{name}.pem"), text, secret: false });
        let text = pem(PRIVATE_KEY, &key.serialize_der());
        made.push(Made { name: format!("{name}.key"), text, secret: true });
        Ok::<(), rcgen::Error>(())
    };
    let names = args.names.iter().map(String::as_str).chain(HERE).map(str::to_owned).collect();
    sign("server", params("server", names)?, ExtendedKeyUsagePurpose::ServerAuth)?;
    for client in &args.clients {
        sign(client, params(client, Vec::new())?, ExtendedKeyUsagePurpose::ClientAuth)?;
    }
    Ok(made)
}

/// A certificate of this name, for these hosts, valid from yesterday on: clocks differ.
fn params(name: &str, hosts: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let day = |days: i64| {
        let at = Timestamp::now().saturating_add(SignedDuration::from_hours(days * 24));
        let at = Zoned::new(at.unwrap_or(Timestamp::MAX), TimeZone::UTC);
        date_time_ymd(at.year().into(), at.month().unsigned_abs(), at.day().unsigned_abs())
    };
    (params.not_before, params.not_after) = (day(-1), day(DAYS + 1));
    Ok(params)
}

const CERTIFICATE: &str = "CERTIFICATE";
const PRIVATE_KEY: &str = "PRIVATE KEY";

/// Bytes as PEM.
fn pem(what: &str, der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: Vec<_> = lines.collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

/// Writes all of them, or none if one is there.
fn write(folder: &Path, made: &[Made]) -> Result<(), CliError> {
    fs::create_dir_all(folder).map_err(CliError::file(folder))?;
    let paths: Vec<PathBuf> = made.iter().map(|made| folder.join(&made.name)).collect();
    if let Some(there) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(CliError::Failed(format!(
            "{} is there already, and nothing is overwritten; name another folder",
            there.display()
        )));
    }
    for (path, made) in paths.iter().zip(made) {
        let mode = if made.secret { 0o600 } else { 0o644 };
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
            file.write_all(made.text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(CliError::file(path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(names: &[&str], clients: &[&str]) -> DevArgs {
        let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        DevArgs { out: "x".into(), names: all(names), clients: all(clients) }
    }

    #[test]
    fn names_that_are_no_hosts_or_would_lead_out_of_the_folder_are_refused() {
        assert!(
            check(&args(&["h", "a.example", "10.0.0.1", "::1", "*.b"], &["acme", "a@b"])).is_ok()
        );
        for bad in ["", "h:1", "a b", "https://h", "h/"] {
            assert!(check(&args(&[bad], &[])).is_err(), "{bad:?}");
        }
        for bad in ["", "../x", ".x", "a/b", "ca", "server", "a b"] {
            assert!(check(&args(&[], &[bad])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_is_written_where_one_of_the_files_is_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("server.key"), "mine").unwrap();
        let made = make(&args(&[], &["acme"])).unwrap();
        assert_eq!(made.len(), 5);
        assert!(made.iter().all(|made| made.secret == made.name.ends_with(".key")));
        let error = write(dir.path(), &made).unwrap_err().to_string();
        assert!(error.contains("server.key is there already"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(dir.path().join("server.key")).unwrap(), "mine");
    }
}
