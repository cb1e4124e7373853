//! The loopback addresses that nodes listen on.

use crate::LocalError;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Hands out loopback addresses, each node its own as on ElastiCache, none of them twice.
///
/// Linux answers on all of 127.0.0.0/8. macOS has 127.0.0.1 alone until others are added by hand; nodes then share it,
/// each on a port of its own.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// The port that every node gets where it has an address of its own.
    port: u16,
    next: Ipv4Addr,
}

impl Addresses {
    /// Addresses for nodes on `port`; 0 lets the system choose for each node.
    pub(crate) fn new(port: u16) -> Self {
        Self { port, next: Ipv4Addr::new(127, 0, 0, 2) }
    }

    /// Listens where a new node may live.
    pub(crate) fn listen_new(&mut self) -> Result<TcpListener, LocalError> {
        match self.listen_own(self.port)? {
            Some(listener) => Ok(listener),
            None => listen((Ipv4Addr::LOCALHOST, 0).into()),
        }
    }

    /// Listens where the replacement of the node at `old` may live: another address, the same port.
    ///
    /// Errors: [`LocalError::NoSecondAddress`] where the machine has none.
    pub(crate) fn listen_replacement(&mut self, old: SocketAddr) -> Result<TcpListener, LocalError> {
        self.listen_own(old.port())?.ok_or(LocalError::NoSecondAddress)
    }

    /// Listens on the next address on which `port` is free; `None` if the machine has no more addresses.
    fn listen_own(&mut self, port: u16) -> Result<Option<TcpListener>, LocalError> {
        let mut last = None;
        for _ in 0..MAX_TAKEN_ADDRESSES {
            let address = SocketAddr::from((self.next, port));
            match TcpListener::bind(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = Some((address, error)),
                Err(source) => return Err(LocalError::Listen { address, source }),
                Ok(listener) => {
                    self.advance();
                    return Ok(Some(listener));
                }
            }
            self.advance();
        }
        last.map_or(Ok(None), |(address, source)| Err(LocalError::Listen { address, source }))
    }

    fn advance(&mut self) {
        self.next = Ipv4Addr::from_bits(self.next.to_bits() + 1);
    }
}

/// Listens on `address`.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, LocalError> {
    TcpListener::bind(address).map_err(|source| LocalError::Listen { address, source })
}

/// So many addresses in a row may be taken on the wanted port, by other clusters say.
const MAX_TAKEN_ADDRESSES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_keeps_the_port_and_gets_another_address() {
        let mut addresses = Addresses::new(0);
        let old = addresses.listen_new().unwrap().local_addr().unwrap();
        match addresses.listen_replacement(old) {
            Ok(new) => {
                let new = new.local_addr().unwrap();
                assert_eq!(new.port(), old.port());
                assert_ne!(new.ip(), old.ip());
            }
            Err(LocalError::NoSecondAddress) => assert_eq!(old.ip(), Ipv4Addr::LOCALHOST),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn an_address_whose_port_is_taken_is_passed_over() {
        let taken = Addresses::new(0).listen_new().unwrap();
        let taken = taken.local_addr().unwrap();
        let _held = listen((taken.ip(), 0).into()).unwrap();
        let mut addresses = Addresses::new(_held.local_addr().unwrap().port());
        let next = addresses.listen_new().unwrap().local_addr().unwrap();
        assert_ne!(next, _held.local_addr().unwrap());
    }
}
