//! Where a node leaves its cookie unless it was told otherwise.

use std::path::{Path, PathBuf};

use super::Environment;

/// RPC port and folder of each network, below the folder of Bitcoin Core. Source: Bitcoin Core, `chainparamsbase.cpp`.
const NETWORKS: [(u16, &str); 5] =
    [(8332, ""), (18332, "testnet3"), (48332, "testnet4"), (38332, "signet"), (18443, "regtest")];
/// Source: Bitcoin Core, `rpc/request.cpp`, `COOKIEAUTH_FILE`.
const COOKIE: &str = ".cookie";

/// Where the cookie of a node on this machine can be whose RPC interface has this port, the likeliest first: one place
/// for a port that belongs to a network, those of all networks for another. Empty without a home. Source: Bitcoin Core,
/// `common/args.cpp`, `GetDefaultDataDir`.
pub fn default_cookies(environment: &Environment, port: u16) -> Vec<PathBuf> {
    let folder = if cfg!(target_os = "macos") { "Library/Application Support/Bitcoin" } else { ".bitcoin" };
    let home = environment.value("HOME").map(Path::new);
    home.map_or_else(Vec::new, |home| cookies_below(&home.join(folder), port))
}

fn cookies_below(folder: &Path, port: u16) -> Vec<PathBuf> {
    let is_known = NETWORKS.iter().any(|(known, _)| *known == port);
    let fits = |network: &&(u16, &str)| !is_known || network.0 == port;
    NETWORKS.iter().filter(fits).map(|(_, network)| folder.join(network).join(COOKIE)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_network_leads_to_its_cookie_and_another_to_all() {
        let cookies = |port| {
            let paths = cookies_below(Path::new("/h/.bitcoin"), port);
            paths.iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(cookies(8332), ["/h/.bitcoin/.cookie"]);
        assert_eq!(cookies(18332), ["/h/.bitcoin/testnet3/.cookie"]);
        assert_eq!(cookies(48332), ["/h/.bitcoin/testnet4/.cookie"]);
        assert_eq!(cookies(38332), ["/h/.bitcoin/signet/.cookie"]);
        assert_eq!(cookies(18443), ["/h/.bitcoin/regtest/.cookie"]);
        assert_eq!(
            cookies(8333),
            ["", "/testnet3", "/testnet4", "/signet", "/regtest"].map(|n| format!("/h/.bitcoin{n}/.cookie"))
        );
    }

    #[test]
    fn the_folder_lies_below_home_and_nowhere_without_one() {
        let environment = [("HOME", "/h")].into_iter().collect();
        let [cookie] = &default_cookies(&environment, 8332)[..] else { panic!("one place for a known port") };
        assert!(cookie.starts_with("/h") && cookie.ends_with(".cookie"), "{}", cookie.display());
        let folder = cookie.parent().unwrap().file_name().unwrap().to_ascii_lowercase();
        assert!(folder == ".bitcoin" || folder == "bitcoin", "{}", cookie.display());
        assert_eq!(default_cookies(&Environment::default(), 8332), Vec::<PathBuf>::new());
    }
}
