// SPDX-License-Identifier: GPL-2.0
//! Networking of others.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use anyhow::{ensure, Context, Result};
use rustix::net::{
    recv, send, socket, socket_with, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
};

use crate::measure::Meter;
use crate::sys::disturb;

pub(super) fn unix(meter: &mut Meter) -> Result<()> {
    let (mut one, mut other) = UnixStream::pair().context("socketpair")?;
    let mut buffer = [0; 512];
    meter.disturb(|_| {
        one.write_all(&[1; 512])?;
        Ok(other.read_exact(&mut buffer)?)
    })
}

pub(super) fn tcp(meter: &mut Meter) -> Result<()> {
    set_loopback(Link::Up)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind")?;
    let address = listener.local_addr().context("getsockname")?;
    let mut buffer = [0; 1024];
    meter.disturb(|_| {
        let mut here = TcpStream::connect(address)?;
        let (mut there, _) = listener.accept()?;
        for _ in 0..4 {
            here.write_all(&[1; 1024])?;
            there.read_exact(&mut buffer)?;
        }
        Ok(())
    })
}

pub(super) fn udp(meter: &mut Meter) -> Result<()> {
    set_loopback(Link::Up)?;
    let here = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("bind")?;
    let there = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("bind")?;
    let address = there.local_addr().context("getsockname")?;
    let mut buffer = [0; 1024];
    meter.disturb(|_| {
        here.send_to(&[1; 512], address)?;
        let (got, _) = there.recv_from(&mut buffer)?;
        ensure!(got == 512, "{got} bytes came");
        Ok(())
    })
}

pub(super) fn filter(meter: &mut Meter) -> Result<()> {
    let (one, _other) = UnixDatagram::pair().context("socketpair")?;
    meter.disturb(|_| disturb::attach_filter(&one))
}

pub(super) fn packet(meter: &mut Meter) -> Result<()> {
    /// Every protocol, in network order.
    const ALL: u16 = 0x0003_u16.to_be();
    meter.disturb(|_| {
        let protocol = rustix::net::Protocol::from_raw(
            core::num::NonZeroU32::new(ALL.into()).context("a protocol of zero")?,
        );
        let packets = socket(AddressFamily::PACKET, SocketType::RAW, Some(protocol));
        packets.map(drop).context("a packet socket")
    })
}

pub(super) fn link_switch(meter: &mut Meter) -> Result<()> {
    set_loopback(Link::Up)?;
    meter.disturb(|_| {
        set_loopback(Link::Down)?;
        set_loopback(Link::Up)
    })
}

pub(super) fn link_add(meter: &mut Meter) -> Result<()> {
    let routes = Routes::open()?;
    let mut name = attribute(IFLA_IFNAME, b"noise0\0");
    let kind = attribute(IFLA_INFO_KIND, b"dummy");
    name.extend(attribute(IFLA_LINKINFO, &kind));
    let delete = attribute(IFLA_IFNAME, b"noise0\0");
    meter.disturb(|_| {
        routes.ask(RTM_NEWLINK, NLM_F_CREATE, &interface(0, 0), &name)?;
        routes.ask(RTM_DELLINK, 0, &interface(0, 0), &delete)
    })
}

/// Whether a network device is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    Down,
}

/// Switches the loopback, which is device 1 everywhere.
fn set_loopback(link: Link) -> Result<()> {
    let flags = match link {
        Link::Up => IFF_UP,
        Link::Down => 0,
    };
    Routes::open()?.ask(RTM_NEWLINK, 0, &interface(1, flags), &[])
}

/// From `linux/rtnetlink.h`, `linux/netlink.h`, `linux/if_link.h` and `linux/if.h`.
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFF_UP: u32 = 1;

/// `struct ifinfomsg`: a device and what its state becomes.
fn interface(index: u32, flags: u32) -> Vec<u8> {
    let mut message = vec![0; 4];
    for number in [index, flags, IFF_UP] {
        message.extend(number.to_ne_bytes());
    }
    message
}

/// An attribute with its header, filled up to a multiple of four.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    // CAST: Values are short.
    let len = 4 + value.len() as u16;
    let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A socket to the kernel's network configuration.
struct Routes(OwnedFd);

impl Routes {
    fn open() -> Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // The protocol of routes is the default one.
            None,
        );
        Ok(Self(socket.context("a netlink socket")?))
    }

    /// Sends a request and waits for its acknowledgement.
    fn ask(&self, kind: u16, flags: u16, message: &[u8], attributes: &[u8]) -> Result<()> {
        let len = u32::try_from(16 + message.len() + attributes.len())?;
        let flags = flags | NLM_F_REQUEST | NLM_F_ACK;
        // `struct nlmsghdr`: length, kind, flags, sequence number, port.
        let mut request = len.to_ne_bytes().to_vec();
        request.extend(kind.to_ne_bytes());
        request.extend(flags.to_ne_bytes());
        request.extend([0; 8]);
        request.extend(message);
        request.extend(attributes);
        send(&self.0, &request, SendFlags::empty()).context("netlink")?;
        let mut answer = [0; 1024];
        let (_, len) = recv(&self.0, &mut answer[..], RecvFlags::empty()).context("netlink")?;
        let error = answer.get(4..6) == Some(&NLMSG_ERROR.to_ne_bytes());
        ensure!(error && len >= 20, "netlink: no acknowledgement");
        let number = answer.get(16..20).and_then(|bytes| bytes.try_into().ok());
        let number = i32::from_ne_bytes(number.context("a short answer")?);
        ensure!(
            number == 0,
            "netlink: {}",
            nix::errno::Errno::from_raw(-number)
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_their_length_and_are_filled_up() {
        assert_eq!(attribute(3, b"ab"), [6, 0, 3, 0, b'a', b'b', 0, 0]);
        assert_eq!(interface(1, IFF_UP).len(), 16);
    }
}
