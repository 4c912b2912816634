//! What a worker does with the sockets that it is given: it registers them with its runtime, serves them, and lets them go. All of that
//! happens on its own thread, by commands from wherever the listeners are changed.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jackfield_proto::net::ListenerId;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::plan::Fresh;
use super::port::StreamPort;
use super::roster::SocketId;
use super::{Handler, Local, tcp, udp};

/// What a worker is to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Register new sockets, and receive nothing yet.
    Register(Vec<Fresh>, oneshot::Sender<io::Result<()>>),
    /// Serve what is registered, and close others. The list says which listener sends from which socket.
    Serve { datagrams: Vec<(ListenerId, SocketId)>, closed: Vec<SocketId>, done: oneshot::Sender<()> },
    /// Forget what is registered.
    Abandon,
}

/// The way of commands to a worker.
pub(super) type Commander = mpsc::UnboundedSender<Command>;

/// The sockets of one worker.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    registered: Vec<(SocketId, Registered)>,
    served: HashMap<SocketId, Served>,
}

#[derive(Debug)]
enum Registered {
    Datagrams(Arc<udp::Port>),
    Streams(TcpListener, Arc<ArcSwap<StreamPort>>),
}

#[derive(Debug)]
struct Served {
    /// For datagrams.
    port: Option<Arc<udp::Port>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Local {
    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers sockets with the runtime that this is called in.
    pub(super) fn register(&self, fresh: Vec<Fresh>) -> io::Result<()> {
        let mut registered = Vec::with_capacity(fresh.len());
        for socket in fresh {
            registered.push(match socket {
                Fresh::Datagrams(id, socket, owner) => {
                    let port = udp::Port::new(owner, socket, self.shared.clone(), self.counters.clone())?;
                    (id, Registered::Datagrams(Arc::new(port)))
                }
                Fresh::Streams(id, socket, port) => (id, Registered::Streams(TcpListener::from_std(socket)?, port)),
            });
        }
        self.sockets().registered.extend(registered);
        Ok(())
    }

    /// Starts receiving on what is registered. From now on messages of these listeners leave from these sockets.
    pub(super) fn serve_registered<H: Handler>(self: &Arc<Self>, datagrams: &[(ListenerId, SocketId)], handler: &Arc<H>) {
        let mut sockets = self.sockets();
        for (id, registered) in std::mem::take(&mut sockets.registered) {
            let served = match registered {
                Registered::Datagrams(port) => Served {
                    tasks: vec![
                        self.runtime.spawn(udp::receive(port.clone(), handler.clone())),
                        self.runtime.spawn(udp::flush(port.clone())),
                    ],
                    port: Some(port),
                },
                Registered::Streams(acceptor, port) => {
                    Served { tasks: vec![self.runtime.spawn(tcp::accept(acceptor, port, self.clone(), handler.clone()))], port: None }
                }
            };
            sockets.served.insert(id, served);
        }
        let mut ports = Vec::new();
        for (listener, id) in datagrams {
            let place = usize::from(listener.0);
            if ports.len() <= place {
                ports.resize_with(place + 1, || None);
            }
            if let Some(port) = ports.get_mut(place) {
                *port = sockets.served.get(id).and_then(|served| served.port.clone());
            }
        }
        self.ports.store(Arc::new(ports));
    }

    /// Closes sockets; returns when they are closed.
    async fn close(&self, closed: &[SocketId]) {
        let ended: Vec<_> = closed.iter().filter_map(|id| self.sockets().served.remove(id)).collect();
        for task in ended.into_iter().flat_map(|served| served.tasks) {
            task.abort();
            // An error says that it was aborted, which is what was wanted; with the task goes its socket.
            let _ = task.await;
        }
    }

    /// Carries out what it is told, for ever.
    pub(super) async fn obey<H: Handler>(self: Arc<Self>, mut commands: mpsc::UnboundedReceiver<Command>, handler: Arc<H>) {
        while let Some(command) = commands.recv().await {
            match command {
                // Who has asked and does not wait any more has no use for the answer.
                Command::Register(fresh, done) => {
                    let _ = done.send(self.register(fresh));
                }
                Command::Serve { datagrams, closed, done } => {
                    self.serve_registered(&datagrams, &handler);
                    self.close(&closed).await;
                    let _ = done.send(());
                }
                Command::Abandon => self.sockets().registered.clear(),
            }
        }
    }
}
