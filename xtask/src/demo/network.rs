//! The wire between one register and the hub: a small TCP proxy that can be cut and mended.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

/// How often the proxy looks for a connection or a cut; far below what a person notices.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A wire from `address` to the hub.
pub struct Wire {
    /// What the register takes for its server.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_cut: AtomicBool,
    is_over: AtomicBool,
    /// Both ends of every connection that may still live.
    ends: Mutex<Vec<TcpStream>>,
}

impl Wire {
    /// Lays a wire.
    pub fn to(hub: SocketAddr) -> Result<Self> {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || of_thread.serve(listener, address, hub));
        Ok(Self { address, shared })
    }

    /// Drops every connection and refuses new ones.
    pub fn cut(&self) {
        self.shared.is_cut.store(true, Ordering::SeqCst);
        self.shared.drop_connections();
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.shared.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.drop_connections();
    }
}

impl Shared {
    /// While the wire is cut nobody listens, so that the register sees what it would see of a dead server.
    fn serve(&self, listener: TcpListener, address: SocketAddr, hub: SocketAddr) {
        let mut listener = Some(listener);
        while !self.is_over.load(Ordering::SeqCst) {
            if self.is_cut.load(Ordering::SeqCst) {
                listener = None;
            } else if let Some(listener) = &listener {
                while let Ok((register, _)) = listener.accept() {
                    let _ = self.connect(register, hub);
                }
            } else {
                listener = listen(address).ok();
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn connect(&self, register: TcpStream, hub: SocketAddr) -> io::Result<()> {
        register.set_nonblocking(false)?;
        let hub = TcpStream::connect(hub)?;
        for end in [&register, &hub] {
            end.set_nodelay(true)?;
        }
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.retain(|end| end.peer_addr().is_ok());
        ends.extend([register.try_clone()?, hub.try_clone()?]);
        for (from, to) in [(register.try_clone()?, hub.try_clone()?), (hub, register)] {
            thread::spawn(move || copy(from, to));
        }
        Ok(())
    }

    fn drop_connections(&self) {
        for end in self.ends.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
