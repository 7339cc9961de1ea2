//! Kinds of keys and signatures that are not served, and until when those that are serve.

use super::*;

/// When the certificates of `testdata` are valid.
const MADE_S: i64 = 2_000_000_000;

const UNSERVED: &str = include_str!("../../testdata/unserved.pem");
const SIGNED: &str = include_str!("../../testdata/signed.pem");

fn certificates(pem: &str) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|der| der.unwrap().to_vec())
        .collect()
}

/// What people call the key of each section, and whether certificates by such a key are verified.
fn unserved() -> Vec<(String, &'static str, bool)> {
    let names = [
        ("RSA with 1024 bits", false),
        ("RSA with 2048 bits and the public exponent 3", true),
        ("RSA with 4608 bits", true),
        ("RSA-PSS", false),
        ("P-521", false),
        ("secp256k1", false),
        ("a curve that is written out instead of named", false),
        ("Ed448", false),
        ("DSA", false),
    ];
    let sections = sections(UNSERVED);
    assert_eq!(sections.len(), names.len());
    let all = sections.into_iter().zip(names);
    all.map(|((_, pem), (name, verified))| (pem, name, verified))
        .collect()
}

#[test]
fn an_own_key_that_is_not_served_is_refused_by_its_name() {
    let stores = Stores::new();
    for (pem, name, _) in unserved() {
        let path = stores.write("own.pem", &pem);
        let error = own_key(&own_in(&path)).unwrap_err().to_string();
        let says = format!("its private key is {name}, which is not served here: make one of RSA");
        assert!(error.contains(&says), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_trust_store_of_which_nothing_is_served_is_refused_by_name() {
    let stores = Stores::new();
    for (pem, name, verified) in unserved() {
        let alone = certificates(&pem);
        let path = stores.folder.path().join("trust.pem");
        let checked = check_anchors(&path, &alone);
        match checked {
            Ok(()) => assert!(verified, "{name}"),
            Err(error) => {
                let error = error.to_string();
                assert!(
                    !verified && error.contains(&format!("its key is {name}")),
                    "{error}"
                );
                assert!(error.contains(path.to_str().unwrap()), "{error}");
            }
        }
        // Beside one that is served it is a warning: stores of public authorities hold all kinds.
        let beside = [alone, vec![stores.ca.clone()]].concat();
        let logged = logged(|| check_anchors(&path, &beside).unwrap());
        assert_eq!(
            logged.contains(&format!("its key is {name}")),
            !verified,
            "{logged}"
        );
    }
    // Any number of them makes one line of bounded length.
    let (pem, ..) = unserved().swap_remove(0);
    let many: Vec<_> = certificates(&pem).into_iter().cycle().take(1000).collect();
    let error = check_anchors(Path::new("/t"), &many).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("and 990 more") && error.len() < 2000,
        "{error}"
    );
}

#[test]
fn a_clients_key_or_signature_that_is_not_served_is_refused_by_its_name() {
    for (pem, name, verified) in unserved() {
        let own = certificates(&pem);
        // Trusted itself, so that nothing else could be wrong with it.
        match verify(&own, &own) {
            Ok(()) => assert!(verified, "{name}"),
            Err(distrust) => {
                let text = distrust.to_string();
                assert!(
                    !verified && text.contains(&format!("its key is {name}")),
                    "{text}"
                );
            }
        }
    }
    for (name, pem) in sections(SIGNED) {
        let both = certificates(&pem);
        let signed_so = verify_at(MADE_S, &both[..1], &both[1..]);
        let says = match name {
            "pss-long-salt" => "it is signed with RSA-PSS with SHA-256 and a salt of 222 bytes",
            "sha512-ecdsa" => "it is signed with SHA-512 with ECDSA",
            "sha224-rsa" => "it is signed with SHA-224 with RSA",
            "pss-short-salt" => {
                assert_eq!(signed_so, Ok(()));
                continue;
            }
            other => panic!("{other}"),
        };
        let text = signed_so.unwrap_err().to_string();
        assert!(text.contains(says), "{text}");
        // Who is trusted and signs itself so will have signed others so.
        let logged = logged(|| check_anchors(Path::new("/t"), &both[..1]).unwrap());
        assert!(logged.contains(says), "{logged}");
    }
}

/// keytool leaves the public key out of an elliptic private one, which ring does not take.
#[test]
fn elliptic_keys_that_java_made_are_served() {
    let stores = Stores::new();
    for (name, base64) in sections(include_str!("../../testdata/keytool.txt")) {
        let bytes = STANDARD.decode(base64.replace('\n', "")).unwrap();
        let path = stores.write(name, bytes);
        let mut settings = own_in(&path);
        settings.key_store.password = Some(Secret::new("apassword"));
        let read = stores::read_key_store(&settings.key_store, &path).unwrap();
        assert!(ring::sign::any_supported_type(&read.key).is_err(), "{name}");
        own_key(&settings).unwrap();
        // The same in PEM, beside its own certificate and beside another one of that curve.
        let key = pem("PRIVATE KEY", &[read.key.secret_der().to_vec()]);
        let own = pem("CERTIFICATE", &[read.chain[0].to_vec()]);
        let path = stores.write("own.pem", key.clone() + &own);
        own_key(&own_in(&path)).unwrap();
        let path = stores.write(
            "mixed.pem",
            key + &pem("CERTIFICATE", std::slice::from_ref(&stores.own)),
        );
        let error = own_key(&own_in(&path)).unwrap_err().to_string();
        assert!(
            error.contains("of another key than its private key"),
            "{error}"
        );
    }
    // What has both halves stays as it is, in either form.
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(stores.key.clone()));
    let spki = |der: &[u8]| {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
        certificate.public_key().raw.to_vec()
    };
    assert_eq!(halves::completed(&key, &spki(&stores.own)), None);
}

#[test]
fn old_openssl_keys_are_refused_by_what_is_wrong() {
    let stores = Stores::new();
    let chain = pem("CERTIFICATE", &stores.chain());
    let sealed = sections(include_str!("../../testdata/sealed.pem"));
    let (_, traditional) = sealed
        .iter()
        .find(|(name, _)| *name == "traditional")
        .unwrap();
    let dsa = "-----BEGIN DSA PRIVATE KEY-----\nMAA=\n-----END DSA PRIVATE KEY-----\n";
    for (key, says) in [
        (
            traditional.as_str(),
            "4,ENCRYPTED), which neither ZooKeeper nor this reads",
        ),
        (dsa, "its private key is DSA, which is not served here"),
    ] {
        let path = stores.write("own.pem", chain.clone() + key);
        let error = stores::read_key_store(&with_password("apassword"), &path).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    // The same key by means that are read serves, whatever stands around it.
    let (_, old) = sealed
        .iter()
        .find(|(name, _)| *name == "PBE-SHA1-3DES")
        .unwrap();
    let path = stores.write("own.pem", format!("Bag Attributes: none\n{old}{chain}"));
    let own = stores::read_key_store(&with_password("apassword"), &path).unwrap();
    assert_eq!(own.chain.len(), 2);
    let error = stores::read_key_store(&with_password("wrong"), &path).unwrap_err();
    assert!(
        error.to_string().contains("correct ssl.keyStore.password"),
        "{error}"
    );
}

/// In virtual time, which begins with 2026, so that days pass at once.
#[test]
fn a_certificate_that_ends_soon_is_told_at_the_start_and_once_a_day() {
    let stores = Stores::new();
    let own_key = key();
    let store_of = |until: &'static str| {
        let certificate = Draft::new("localhost", "localhost")
            .valid("250101000000Z", until)
            .sign(&own_key, &own_key);
        pem("PRIVATE KEY", &[own_key.serialize_der()]) + &pem("CERTIFICATE", &[certificate])
    };
    // It ends on 15 February: from 16 January on there is something to tell.
    let path = stores.write("own.pem", store_of("260215000000Z"));
    let log = logged(|| {
        Sim::run(1, async |runtime| {
            let tls = Arc::new(Tls::load(&runtime, &own_in(&path)).unwrap());
            assert_eq!(tls.validity().until_s, 1_771_113_600);
            let stopping = Signal::new();
            let days = async |days: u64| {
                runtime.sleep(Duration::from_secs(days * 86_400)).await;
            };
            let told = async {
                days(50).await;
                runtime.sleep(Duration::from_secs(43_200)).await;
                // A new one is told of at once, if it ends soon as well.
                stores.write("own.pem", store_of("260301000000Z"));
                tls.read_again(&runtime).await.unwrap();
                days(5).await;
                stores.write("own.pem", store_of("400101000000Z"));
                tls.read_again(&runtime).await.unwrap();
                days(5).await;
                stopping.raise();
            };
            select2(told, async {
                tls.warn_daily(&runtime, stopping.clone()).await;
                std::future::pending::<()>().await;
            })
            .await;
        });
    });
    let count = |part: &str| log.matches(part).count();
    // 31 days from the 30th before the end on, and those until the new one came.
    assert_eq!(count("expires in "), 31 + 1 + 5, "{log}");
    assert_eq!(
        count("expires in 30 days, at Sun Feb 15 00:00:00 UTC 2026"),
        1,
        "{log}"
    );
    assert_eq!(count("expired at Sun Feb 15"), 5, "{log}");
    assert_eq!(count("at Sun Mar 01 00:00:00 UTC 2026"), 6, "{log}");
}

#[test]
fn what_is_not_served_is_refused_when_the_stores_are_read_again_and_the_old_ones_stay() {
    let stores = Stores::new();
    let good = pem("PRIVATE KEY", std::slice::from_ref(&stores.key))
        + &pem("CERTIFICATE", std::slice::from_ref(&stores.own));
    Sim::run(1, async |runtime| {
        let path = stores.write("own.pem", &good);
        let trust = stores.write(
            "trust.pem",
            pem("CERTIFICATE", std::slice::from_ref(&stores.ca)),
        );
        let mut settings = own_in(&path);
        settings.client_auth = ClientAuth::Need;
        settings.trust_store.location = Some(trust.clone());
        let tls = Arc::new(Tls::load(&runtime, &settings).unwrap());
        let mut serves = tls.config.load_full();
        for (theirs, name, verified) in unserved() {
            stores.write("own.pem", &theirs);
            let error = tls.read_again(&runtime).await.unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("own.pem"), "{error}");
            stores.write("own.pem", &good);
            stores.write("trust.pem", &theirs);
            match tls.read_again(&runtime).await {
                Ok(()) => assert!(verified, "{name}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(
                        error.contains(name) && error.contains("trust.pem"),
                        "{error}"
                    );
                }
            }
            if verified {
                serves = tls.config.load_full();
            }
            assert!(Arc::ptr_eq(&serves, &tls.config.load_full()), "{name}");
            stores.write(
                "trust.pem",
                pem("CERTIFICATE", std::slice::from_ref(&stores.ca)),
            );
        }
    });
}
