//! Authorities and certificates of the tests' own, and HTTP clients that trust them.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rowcast::pem;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// Signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as files hold them (PEM).
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Rowcast's tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        Self { issuer }
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// For a server with these names and addresses.
    pub fn server(&self, names: &[&str]) -> Pair {
        self.sign(named(names), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// The same, whose time was over long ago.
    pub fn expired(&self, names: &[&str]) -> Pair {
        let mut params = named(names);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client who is `user`; it has that for a name, too.
    pub fn client(&self, user: &str) -> Pair {
        let mut params = named(&[user]);
        params.distinguished_name.push(DnType::CommonName, user);
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Pair {
        params.insert_extended_key_usage(usage);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// What a TLS client has that trusts this authority alone.
    pub fn trusted(&self) -> ClientConfig {
        self.trusted_by(rustls::DEFAULT_VERSIONS)
    }

    /// The same, of a client that speaks these versions of TLS alone.
    pub fn trusted_by(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut trusted = RootCertStore::empty();
        trusted.add(self.issuer.der().clone()).expect("an authority");
        config(trusted, versions)
    }

    /// An HTTP client that trusts this authority alone and offers these protocols (ALPN).
    pub fn http_client(&self, protocols: &[&str]) -> reqwest::Client {
        let mut config = self.trusted();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let builder = reqwest::Client::builder().tls_backend_preconfigured(config);
        builder.no_proxy().build().expect("a client of HTTPS")
    }
}

impl Pair {
    /// The certificate as it is sent.
    pub fn der(&self) -> CertificateDer<'static> {
        pem::certificates(self.certificate.as_bytes())
            .expect("a certificate")
            .remove(0)
    }
}

fn named(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    CertificateParams::new(names).expect("names")
}

/// Of an HTTP client that trusts nobody: for plain HTTP. (One that is told nothing reads the machine's authorities.)
pub fn plain_http() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(config(RootCertStore::empty(), rustls::DEFAULT_VERSIONS))
        .no_proxy()
}

fn config(trusted: RootCertStore, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    ClientConfig::builder_with_provider(pem::cryptography())
        .with_protocol_versions(versions)
        .expect("the versions of TLS")
        .with_root_certificates(trusted)
        .with_no_client_auth()
}
