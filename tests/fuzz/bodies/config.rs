//! The configuration reader: every mistake has a line and harmless words, and what it accepts it also writes.

use signalcore::config::{Config, NodeLogin, Origin, Secret, load_text, show_json, show_toml};

pub(crate) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match load_text(&text) {
        Ok(loaded) => {
            _ = show_json(&loaded);
            // The user of a node needs a password again.
            let shown = show_toml(&loaded).replace("\n# password = \"***\"", "\npassword = \"x\"");
            let again = load_text(&shown).unwrap_or_else(|error| panic!("{error}\n{shown}"));
            assert_eq!(without_secrets(again.config), without_secrets(loaded.config));
        }
        Err(error) => {
            assert!(!error.problems.is_empty());
            for problem in error.problems {
                let is_line = |line| (1..=text.matches('\n').count() + 1).contains(&line);
                assert!(matches!(problem.origin, Origin::File { line, .. } if is_line(line)), "{problem}");
                let words = problem.to_string();
                assert!(!words.contains(char::is_control), "{words:?}");
            }
        }
    }
}

/// Without what a listing hides.
fn without_secrets(mut config: Config) -> Config {
    for pool in &mut config.pools {
        pool.password = Secret::new("x");
        pool.proxy = pool.proxy.take().filter(|proxy| proxy.login().is_none());
    }
    for node in &mut config.nodes {
        if let NodeLogin::Password { password, password_file: None, .. } = &mut node.login {
            *password = Secret::new("x");
        }
    }
    config
}
