//! A small SOCKS5 proxy. Source: RFC 1928, and RFC 1929 for user and password.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::support::PATIENCE;

const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;
const NAME: u8 = 3;

/// A proxy that leads everybody to one place, and says where they wanted to go.
pub(crate) struct SocksProxy {
    pub(crate) address: SocketAddr,
    asked: Receiver<String>,
}

impl SocksProxy {
    /// `login` is the user and password that it wants, if any.
    pub(crate) fn start(login: Option<(&'static str, &'static str)>, to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = channel();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                // A client that breaks off is the miner's matter; the test sees what that says.
                thread::spawn(move || serve(client, login, to, &sender).ok());
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("socks5://{}", self.address)
    }

    /// The next target, as the miner wrote it: `name HOST:PORT`, or `address HOST:PORT`.
    pub(crate) fn asked(&self) -> String {
        self.asked.recv_timeout(PATIENCE).unwrap()
    }
}

fn serve(
    mut client: TcpStream,
    login: Option<(&str, &str)>,
    to: SocketAddr,
    asked: &Sender<String>,
) -> io::Result<()> {
    let [_version, count] = bytes(&mut client)?;
    let mut offered = vec![0; count.into()];
    client.read_exact(&mut offered)?;
    let method = if login.is_some() { LOGIN } else { NO_LOGIN };
    if !offered.contains(&method) {
        return client.write_all(&[5, NONE_ACCEPTABLE]);
    }
    client.write_all(&[5, method])?;
    if let Some((user, password)) = login {
        let [_version] = bytes(&mut client)?;
        let (their_user, their_password) = (text(&mut client)?, text(&mut client)?);
        let fits = (their_user.as_str(), their_password.as_str()) == (user, password);
        client.write_all(&[1, u8::from(!fits)])?;
        if !fits {
            return Ok(());
        }
    }
    let [_version, _command, _, kind] = bytes(&mut client)?;
    let host = match kind {
        1 => format!("address {}", std::net::Ipv4Addr::from(bytes(&mut client)?)),
        NAME => format!("name {}", text(&mut client)?),
        _ => format!("address [{}]", std::net::Ipv6Addr::from(bytes::<16>(&mut client)?)),
    };
    let port = u16::from_be_bytes(bytes(&mut client)?);
    asked.send(format!("{host}:{port}")).ok();
    let Ok(server) = TcpStream::connect(to) else {
        const REFUSED: u8 = 5;
        return client.write_all(&[5, REFUSED, 0, 1, 0, 0, 0, 0, 0, 0]);
    };
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    let (from, into) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || pour(from, into));
    pour(client, server);
    Ok(())
}

/// Until one end hangs up, and then the other one hears of it.
fn pour(mut from: TcpStream, mut into: TcpStream) {
    io::copy(&mut from, &mut into).ok();
    into.shutdown(std::net::Shutdown::Both).ok();
}

fn bytes<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A text behind a byte with its length.
fn text(client: &mut TcpStream) -> io::Result<String> {
    let [length] = bytes(client)?;
    let mut text = vec![0; length.into()];
    client.read_exact(&mut text)?;
    Ok(String::from_utf8(text).unwrap())
}
