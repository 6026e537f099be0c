//! Settings: flag before environment before file before default.

use whence::cli::{Layers, Raw};

fn raw(value: Option<&str>) -> Raw {
    Raw { listen: value.map(str::to_owned), ..Raw::default() }
}

fn effective(
    flag: Option<&str>,
    environment: Option<&str>,
    file: Option<&str>,
) -> (String, &'static str) {
    let layers = Layers {
        flags: raw(flag),
        environment: raw(environment),
        file: raw(file),
        ..Layers::default()
    };
    let setting = layers.settings().into_iter().find(|setting| setting.name == "listen").unwrap();
    (setting.value.unwrap(), setting.from)
}

#[test]
fn each_place_beats_the_ones_below_it() {
    let of = |value: &str, from| (value.to_owned(), from);
    assert_eq!(effective(Some("a"), Some("b"), None), of("a", "flag"));
    assert_eq!(effective(Some("a"), None, Some("c")), of("a", "flag"));
    assert_eq!(effective(Some("a"), None, None), of("a", "flag"));
    assert_eq!(effective(None, Some("b"), Some("c")), of("b", "environment"));
    assert_eq!(effective(None, Some("b"), None), of("b", "environment"));
    assert_eq!(effective(None, None, Some("c")), of("c", "file"));
    assert_eq!(effective(None, None, None), of("127.0.0.1:7117", "default"));
}

#[test]
fn an_unknown_setting_is_refused_and_a_secret_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whence.toml");
    std::fs::write(&path, "listne = \"SECRET\"\n").unwrap();
    let error = Layers::read(Raw::default(), Some(&path)).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("unknown field") && !error.contains("SECRET"), "{error}");
}
