// SPDX-License-Identifier: GPL-2.0
//! Calls on sockets: TCP, UDP and UNIX within the machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use rustix::net::sockopt::{set_socket_reuseaddr, socket_reuseaddr};

use super::Between;

const HERE: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Two ends of a connection within the machine.
pub(super) fn connected() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(HERE).context("bind")?;
    let client = TcpStream::connect(listener.local_addr().context("getsockname")?);
    let client = client.context("connect")?;
    let (server, from) = listener.accept().context("accept")?;
    let own = client.local_addr().context("getsockname")?;
    ensure!(from == own, "a connection from {from}, not {own}");
    Ok((client, server))
}

fn tcp(marked: &mut Between) -> Result<()> {
    let (mut client, mut server) = connected()?;
    client.set_nodelay(true).context("setsockopt")?;
    marked.say(client.nodelay().context("getsockopt")?);
    set_socket_reuseaddr(&server, true).context("setsockopt")?;
    marked.say(socket_reuseaddr(&server).context("getsockopt")?);
    marked.say(client.peer_addr().context("getpeername")?.ip());
    client.write_all(&[7; 100_000]).context("send")?;
    let mut bytes = vec![0; 100_000];
    server.read_exact(&mut bytes).context("recv")?;
    marked.say(bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>());
    server.write_all(b"bye").context("send")?;
    server.shutdown(Shutdown::Write).context("shutdown")?;
    let mut text = String::new();
    client.read_to_string(&mut text).context("recv")?;
    marked.say(text);
    marked.say(TcpStream::connect((Ipv4Addr::LOCALHOST, 1)).err());
    Ok(())
}

fn udp(marked: &mut Between) -> Result<()> {
    let one = UdpSocket::bind(HERE).context("bind")?;
    let two = UdpSocket::bind(HERE).context("bind")?;
    let to = two.local_addr().context("getsockname")?;
    let mut bytes = [0; 2000];
    for len in [1, 100, 1500] {
        marked.say(one.send_to(&vec![1; len], to).context("sendto")?);
        marked.say(two.recv_from(&mut bytes).context("recvfrom")?.0);
    }
    two.set_read_timeout(Some(Duration::from_millis(5)))
        .context("setsockopt")?;
    marked.say(two.recv_from(&mut bytes).err());
    Ok(())
}

fn unix(marked: &mut Between) -> Result<()> {
    let (mut one, mut two) = UnixStream::pair().context("socketpair")?;
    one.write_all(b"ping").context("send")?;
    let mut bytes = [0; 4];
    two.read_exact(&mut bytes).context("recv")?;
    marked.say(bytes);
    let path = "/tmp/calls-socket";
    drop(std::fs::remove_file(path));
    let listener = UnixListener::bind(path).context("bind")?;
    let mut client = UnixStream::connect(path).context("connect")?;
    let (mut server, _) = listener.accept().context("accept")?;
    client.write_all(b"pong").context("send")?;
    drop(client);
    let mut text = String::new();
    server.read_to_string(&mut text).context("recv")?;
    marked.say(text);
    let (one, two) = UnixDatagram::pair().context("socketpair")?;
    one.send(b"one").context("send")?;
    marked.say(two.recv(&mut bytes).context("recv")?);
    std::fs::remove_file(path).context("unlink")
}

/// All of them.
pub(super) fn network(_: &[&str]) -> Result<()> {
    let mut marked = Between::begin();
    tcp(&mut marked)?;
    udp(&mut marked)?;
    unix(&mut marked)?;
    marked.end();
    Ok(())
}
