// SPDX-License-Identifier: GPL-2.0
//! Gives the emulator points at which it may go on to another CPU.
//!
//! In a counted run the emulator works on one CPU until the next event of virtual time. If all CPUs compute, the next
//! may be a tick 4 ms away, and an interrupt that one CPU sends to another waits as long. The periodic interrupt of
//! the battery-backed clock, which no driver has enabled, is such an event every 122 us; with its interrupt line
//! masked, as it is, the machine does not notice.

use crate::sys::port::RtcPorts;

/// Register A: the low four bits choose the rate; 3 is 8192 Hz.
const REGISTER_A: u8 = 0x0a;
/// Register B: what may interrupt.
const REGISTER_B: u8 = 0x0b;
/// The periodic interrupt, in register B.
const PERIODIC: u8 = 1 << 6;
/// 8192 Hz.
const RATE: u8 = 3;

/// Starts the periodic events and says how that went.
pub(crate) fn start() -> String {
    match RtcPorts::open() {
        Ok(ports) => {
            ports.write(REGISTER_A, ports.read(REGISTER_A) & 0xf0 | RATE);
            ports.write(REGISTER_B, ports.read(REGISTER_B) | PERIODIC);
            let is_on = ports.read(REGISTER_B) & PERIODIC != 0;
            if is_on {
                "periodic events of the clock at 8192 Hz".to_owned()
            } else {
                "periodic events of the clock: FAILED, register B does not keep them".to_owned()
            }
        }
        Err(error) => format!("periodic events of the clock: FAILED, ioperm: {error}"),
    }
}
