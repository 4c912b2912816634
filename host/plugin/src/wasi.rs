//! The part of WASI that the standard library of Rust (and of other languages) links into every component, whether it is used or not.
//!
//! All of it answers at once and nothing of it reaches out: no arguments, an empty environment, standard input at its end, standard
//! output and error in the plugin's log, `exit` a trap. What is not here (files, sockets, waiting) does not link, so that a plugin that
//! wants it is refused when it is loaded, and not when a call needs it.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType};

use super::bindings::log::Level;
use super::log::{self, LINE_MAX};
use super::state::State;

struct InputStream;
struct OutputStream;
struct Pollable;
struct StreamFailure;
struct Terminal;

/// The two output streams, by the number of their handles.
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
/// A pollable that is ready, and one that time would make ready.
const READY: u32 = 0;
const TIMER: u32 = 1;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<StreamFailure>),
    #[component(name = "closed")]
    Closed,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

type Context<'a> = StoreContextMut<'a, State>;
type StreamResult<T> = wasmtime::Result<(Result<T, StreamError>,)>;
type Instance<'a> = LinkerInstance<'a, State>;

/// Adds it. A plugin built against an earlier or later 0.2 finds it too, as far as the functions are the same.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    io_error(&mut linker.instance("wasi:io/error@0.2.6")?)?;
    io_poll(&mut linker.instance("wasi:io/poll@0.2.6")?)?;
    let mut streams = linker.instance("wasi:io/streams@0.2.6")?;
    input_stream(&mut streams)?;
    output_stream(&mut streams)?;
    process(linker)?;
    terminals(linker)?;
    clocks(linker)?;
    random(linker)
}

/// For resources that have nothing to release.
fn resource<T: 'static>(instance: &mut Instance<'_>, name: &str) -> wasmtime::Result<()> {
    instance.resource(name, ResourceType::host::<T>(), |_, _| Ok(()))
}

fn io_error(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    resource::<StreamFailure>(instance, "error")?;
    instance.func_wrap("[method]error.to-debug-string", |_: Context<'_>, (_,): (Resource<StreamFailure>,)| Ok((String::from("closed"),)))
}

fn io_poll(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    resource::<Pollable>(instance, "pollable")?;
    instance.func_wrap("[method]pollable.ready", |_: Context<'_>, (it,): (Resource<Pollable>,)| Ok((it.rep() == READY,)))?;
    instance.func_wrap("[method]pollable.block", |_: Context<'_>, (it,): (Resource<Pollable>,)| match it.rep() {
        READY => Ok(()),
        _ => Err(cannot_wait()),
    })?;
    instance.func_wrap("poll", |_: Context<'_>, (them,): (Vec<Resource<Pollable>>,)| {
        let ready: Vec<u32> = (0..).zip(&them).filter(|(_, it)| it.rep() == READY).map(|(at, _)| at).collect();
        if ready.is_empty() { Err(cannot_wait()) } else { Ok((ready,)) }
    })
}

fn cannot_wait() -> wasmtime::Error {
    wasmtime::Error::msg("a plugin cannot sleep or wait: it holds up all calls of its worker")
}

fn input_stream(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    resource::<InputStream>(instance, "input-stream")?;
    for name in ["[method]input-stream.read", "[method]input-stream.blocking-read"] {
        instance.func_wrap(name, |_: Context<'_>, (_, _): (Resource<InputStream>, u64)| -> StreamResult<Vec<u8>> {
            Ok((Err(StreamError::Closed),))
        })?;
    }
    for name in ["[method]input-stream.skip", "[method]input-stream.blocking-skip"] {
        instance.func_wrap(name, |_: Context<'_>, (_, _): (Resource<InputStream>, u64)| -> StreamResult<u64> {
            Ok((Err(StreamError::Closed),))
        })?;
    }
    instance.func_wrap("[method]input-stream.subscribe", |_: Context<'_>, (_,): (Resource<InputStream>,)| {
        Ok((Resource::<Pollable>::new_own(READY),))
    })
}

fn output_stream(instance: &mut Instance<'_>) -> wasmtime::Result<()> {
    resource::<OutputStream>(instance, "output-stream")?;
    instance.func_wrap("[method]output-stream.check-write", |_: Context<'_>, (_,): (Resource<OutputStream>,)| -> StreamResult<u64> {
        Ok((Ok(LINE_MAX as u64),))
    })?;
    for name in ["[method]output-stream.write", "[method]output-stream.blocking-write-and-flush"] {
        instance.func_wrap(name, |mut cx: Context<'_>, (stream, octets): (Resource<OutputStream>, Vec<u8>)| -> StreamResult<()> {
            cx.data_mut().printed(stream.rep(), &octets);
            Ok((Ok(()),))
        })?;
    }
    for name in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        instance.func_wrap(name, |_: Context<'_>, (_,): (Resource<OutputStream>,)| -> StreamResult<()> { Ok((Ok(()),)) })?;
    }
    for name in ["[method]output-stream.write-zeroes", "[method]output-stream.blocking-write-zeroes-and-flush"] {
        instance.func_wrap(name, |_: Context<'_>, (_, _): (Resource<OutputStream>, u64)| -> StreamResult<()> { Ok((Ok(()),)) })?;
    }
    for name in ["[method]output-stream.splice", "[method]output-stream.blocking-splice"] {
        let closed = |_: Context<'_>, (_, _, _): (Resource<OutputStream>, Resource<InputStream>, u64)| -> StreamResult<u64> {
            Ok((Err(StreamError::Closed),))
        };
        instance.func_wrap(name, closed)?;
    }
    instance.func_wrap("[method]output-stream.subscribe", |_: Context<'_>, (_,): (Resource<OutputStream>,)| {
        Ok((Resource::<Pollable>::new_own(READY),))
    })
}

fn process(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut environment = linker.instance("wasi:cli/environment@0.2.6")?;
    environment.func_wrap("get-environment", |_: Context<'_>, ()| Ok((Vec::<(String, String)>::new(),)))?;
    environment.func_wrap("get-arguments", |_: Context<'_>, ()| Ok((Vec::<String>::new(),)))?;
    environment.func_wrap("initial-cwd", |_: Context<'_>, ()| Ok((None::<String>,)))?;
    linker.instance("wasi:cli/exit@0.2.6")?.func_wrap("exit", |_: Context<'_>, (_,): (Result<(), ()>,)| -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg("the plugin called exit"))
    })?;
    let stdin = |_: Context<'_>, ()| Ok((Resource::<InputStream>::new_own(0),));
    linker.instance("wasi:cli/stdin@0.2.6")?.func_wrap("get-stdin", stdin)?;
    let stdout = |_: Context<'_>, ()| Ok((Resource::<OutputStream>::new_own(STDOUT),));
    linker.instance("wasi:cli/stdout@0.2.6")?.func_wrap("get-stdout", stdout)?;
    let stderr = |_: Context<'_>, ()| Ok((Resource::<OutputStream>::new_own(STDERR),));
    linker.instance("wasi:cli/stderr@0.2.6")?.func_wrap("get-stderr", stderr)
}

/// None of the three is a terminal.
fn terminals(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    resource::<Terminal>(&mut linker.instance("wasi:cli/terminal-input@0.2.6")?, "terminal-input")?;
    resource::<Terminal>(&mut linker.instance("wasi:cli/terminal-output@0.2.6")?, "terminal-output")?;
    for (interface, function) in [
        ("wasi:cli/terminal-stdin@0.2.6", "get-terminal-stdin"),
        ("wasi:cli/terminal-stdout@0.2.6", "get-terminal-stdout"),
        ("wasi:cli/terminal-stderr@0.2.6", "get-terminal-stderr"),
    ] {
        linker.instance(interface)?.func_wrap(function, |_: Context<'_>, ()| Ok((None::<Resource<Terminal>>,)))?;
    }
    Ok(())
}

fn clocks(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut monotonic = linker.instance("wasi:clocks/monotonic-clock@0.2.6")?;
    monotonic.func_wrap("now", |mut cx: Context<'_>, ()| Ok((cx.data_mut().monotonic_ns()?,)))?;
    monotonic.func_wrap("resolution", |_: Context<'_>, ()| Ok((1u64,)))?;
    for name in ["subscribe-instant", "subscribe-duration"] {
        monotonic.func_wrap(name, |_: Context<'_>, (_,): (u64,)| Ok((Resource::<Pollable>::new_own(TIMER),)))?;
    }
    let mut wall = linker.instance("wasi:clocks/wall-clock@0.2.6")?;
    wall.func_wrap("now", |mut cx: Context<'_>, ()| {
        let since = std::time::Duration::from_millis(cx.data_mut().unix_ms()?);
        Ok((Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() },))
    })?;
    wall.func_wrap("resolution", |_: Context<'_>, ()| Ok((Datetime { seconds: 0, nanoseconds: 1 },)))
}

fn random(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let octets = |mut cx: Context<'_>, (length,): (u64,)| Ok((cx.data_mut().random_octets(length)?,));
    let number = |mut cx: Context<'_>, ()| Ok((cx.data_mut().random_number()?,));
    let mut secure = linker.instance("wasi:random/random@0.2.6")?;
    secure.func_wrap("get-random-bytes", octets)?;
    secure.func_wrap("get-random-u64", number)?;
    let mut insecure = linker.instance("wasi:random/insecure@0.2.6")?;
    insecure.func_wrap("get-insecure-random-bytes", octets)?;
    insecure.func_wrap("get-insecure-random-u64", number)?;
    linker.instance("wasi:random/insecure-seed@0.2.6")?.func_wrap("insecure-seed", |mut cx: Context<'_>, ()| {
        let state = cx.data_mut();
        Ok(((state.random_number()?, state.random_number()?),))
    })
}

impl State {
    /// Standard output and error become lines of the log. A line is written when it ends, or when it has become too long.
    fn printed(&mut self, stream: u32, octets: &[u8]) {
        for octet in octets {
            match octet {
                b'\n' => self.end_line(stream),
                _ if self.partial_line.len() >= LINE_MAX => {
                    self.end_line(stream);
                    self.partial_line.push(*octet);
                }
                _ => self.partial_line.push(*octet),
            }
        }
    }

    fn end_line(&mut self, stream: u32) {
        let line = std::mem::take(&mut self.partial_line);
        let line = String::from_utf8_lossy(&line);
        if line.trim().is_empty() {
            return;
        }
        let level = if stream == STDERR { Level::Warn } else { Level::Info };
        log::write(&self.identity, level, self.call.as_ref().map(|call| call.id()), &line);
        if stream == STDERR {
            if !self.last_words.is_empty() {
                self.last_words.push_str("; ");
            }
            self.last_words.push_str(&line);
            // The last lines say the most, but the first names the place of a panic: what follows it within the bound is kept.
            self.last_words.truncate(self.last_words.floor_char_boundary(LINE_MAX));
        }
    }
}
