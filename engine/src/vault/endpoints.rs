//! Where parties are told over HTTP, and what signs it: sealed under their keys like their
//! accounts.

use super::seal::{Field, Seal};
use super::{Vault, VaultError};
use crate::ledger::{Endpoint, SealedText};
use crate::types::{PartyId, Timestamp};
use zeroize::Zeroizing;

/// What is sealed of an endpoint.
#[derive(Debug, Clone)]
pub struct SealedEndpoint {
    /// Where it is.
    pub url: SealedText,
    /// What signs what is sent there.
    pub secret: SealedText,
    /// How often the party had been erased by then.
    pub erasures: u32,
}

/// The same, opened.
pub struct OpenEndpoint {
    /// Where it is.
    pub url: Zeroizing<String>,
    /// What signs what is sent there: the one in force first.
    pub secrets: Vec<Zeroizing<Vec<u8>>>,
}

impl Vault {
    /// Seals where a party is told, and what signs it.
    ///
    /// # Errors
    /// When the party has no key.
    pub fn seal_endpoint(
        &self,
        party: PartyId,
        url: &str,
        secret: &[u8],
    ) -> Result<SealedEndpoint, VaultError> {
        let key = self.key(party)?.ok_or(VaultError::NoKey(party))?;
        let seal = Seal::new(&key.secret);
        Ok(SealedEndpoint {
            url: seal.seal(Field::HookUrl(party), url.as_bytes()),
            secret: seal.seal(Field::HookSecret(party), secret),
            erasures: key.generation,
        })
    }

    /// Opens an endpoint: with the secret before the one in force as long as that counts.
    ///
    /// # Errors
    /// When the party's key is gone, or another one.
    pub fn open_endpoint(
        &self,
        endpoint: &Endpoint,
        at: Timestamp,
    ) -> Result<OpenEndpoint, VaultError> {
        let party = endpoint.party;
        let seal = self.seal_of(party)?;
        let secret = |sealed: &SealedText| {
            let opened = seal.open(Field::HookSecret(party), sealed.bytes());
            opened.ok_or(VaultError::OtherKey(party))
        };
        let former = endpoint.former.as_ref().filter(|former| at < former.until);
        let secrets = [&endpoint.secret].into_iter().chain(former.map(|former| &former.secret));
        let secrets = secrets.map(secret).collect::<Result<_, _>>()?;
        Ok(OpenEndpoint { url: self.endpoint_url(endpoint)?, secrets })
    }

    /// Where it is.
    ///
    /// # Errors
    /// As for `open_endpoint`.
    pub fn endpoint_url(&self, endpoint: &Endpoint) -> Result<Zeroizing<String>, VaultError> {
        let party = endpoint.party;
        let url = self.seal_of(party)?.open(Field::HookUrl(party), endpoint.url.bytes());
        let url = url.and_then(|url| String::from_utf8(url.to_vec()).ok());
        url.map(Zeroizing::new).ok_or(VaultError::OtherKey(party))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::memory::Memory;
    use crate::ledger::{FormerSecret, Topic};
    use crate::vault::{Plain, Standing};

    #[test]
    fn an_endpoint_opens_under_its_partys_key_and_the_secret_before_counts_until_its_time() {
        let vault = Vault::seeded(Memory::journal().tables, [9; 32]);
        let party = PartyId([1; 32]);
        let (accounts, request_id) = (Vec::new(), "r".to_owned());
        let plain = Plain { party, name: "P".into(), accounts, request_id };
        let standing = Standing { erasures: 0, registered: false };
        vault.seal_parties(&[plain], &|_| Ok(standing)).unwrap();
        let seal = |secret: &[u8]| vault.seal_endpoint(party, "https://a.example/", secret);
        let (before, now) = (seal(&[1; 32]).unwrap(), seal(&[2; 32]).unwrap());
        assert_eq!((now.erasures, &now.url), (0, &before.url), "the same text, the same bytes");
        let former = FormerSecret { secret: before.secret, until: Timestamp(100) };
        let endpoint = Endpoint {
            party,
            url: now.url,
            secret: now.secret,
            former: Some(former),
            topics: Topic::ALL.to_vec(),
            by: "ann".into(),
            by_owner: false,
            added_at: Timestamp(0),
        };
        let secrets = |at| {
            let open = vault.open_endpoint(&endpoint, Timestamp(at)).unwrap();
            assert_eq!(*open.url, "https://a.example/");
            open.secrets.iter().map(|secret| secret[0]).collect::<Vec<u8>>()
        };
        assert_eq!((secrets(99), secrets(100)), (vec![2, 1], vec![2]));
        let swapped = Endpoint { url: endpoint.secret.clone(), ..endpoint.clone() };
        assert!(vault.endpoint_url(&swapped).is_err(), "a secret is no address");
        let other = Endpoint { party: PartyId([2; 32]), ..endpoint.clone() };
        assert!(matches!(vault.open_endpoint(&other, Timestamp(0)), Err(VaultError::NoKey(_))));
        let nobody = vault.seal_endpoint(PartyId([2; 32]), "https://a.example/", &[1; 32]);
        assert!(matches!(nobody, Err(VaultError::NoKey(_))));
    }
}
