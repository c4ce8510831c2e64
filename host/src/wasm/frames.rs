//! The call of `process` and `tick`: lowers a batch with one copy, and takes the returned frames where they lie, in the
//! component's memory, which the component frees as soon as the call returns.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;

use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext};
use wasmtime::component::{ComponentType, Func, Lift, TypedFunc};
use wasmtime::{Store, ValRaw};

use crate::record::{BatchRef, FrameError, Outputs};

use super::guest::Guest;

/// `wasmill:plugin/framed.failure`.
#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct Failure {
    pub(super) code: String,
    pub(super) index: Option<u32>,
    pub(super) message: String,
}

/// What a call returned: frames taken or refused, or a failure.
pub(super) type Answer = Result<Frames, Failure>;

/// Stands for the returned list; its bytes are in the outputs of the call by the time one of these exists.
pub(super) struct Frames(pub(super) Result<(), Refusal>);

/// Why returned frames were not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("returned {bytes} bytes of frames; the limit is {max}")]
    TooLarge { bytes: usize, max: usize },
}

/// Where the frames of the call now running on this thread go.
pub(super) struct Taker<'a> {
    pub(super) outputs: &'a mut Outputs,
    pub(super) batch: BatchRef<'a>,
    pub(super) output_count: usize,
    pub(super) bytes_max: usize,
}

/// A function with the signature of `process` or of `tick`, checked.
#[derive(Clone, Copy)]
pub(super) struct FramedFunc<A> {
    func: Func,
    kind: PhantomData<A>,
}

/// `process(source, frames)`.
#[derive(Clone, Copy)]
pub(super) struct Process;
/// `tick(frames, missed)`.
#[derive(Clone, Copy)]
pub(super) struct Tick;

thread_local! {
    static TAKER: Cell<*mut Taker<'static>> = const { Cell::new(ptr::null_mut()) };
}

impl FramedFunc<Process> {
    pub(super) fn check(func: Func, store: &Store<Guest>) -> wasmtime::Result<Self> {
        func.typed::<(u32, &[u8]), (Answer,)>(store)?;
        Ok(Self { func, kind: PhantomData })
    }

    pub(super) fn call(
        &self,
        store: &mut Store<Guest>,
        source: u32,
        frames: &[u8],
        taker: &mut Taker<'_>,
    ) -> wasmtime::Result<Answer> {
        // SAFETY: `check` has compared the function's type with just these parameters and results.
        let func = unsafe { TypedFunc::<(u32, &[u8]), (Answer,)>::new_unchecked(self.func) };
        taking(taker, || func.call(store, (source, frames))).map(|(answer,)| answer)
    }
}

impl FramedFunc<Tick> {
    pub(super) fn check(func: Func, store: &Store<Guest>) -> wasmtime::Result<Self> {
        func.typed::<(&[u8], u64), (Answer,)>(store)?;
        Ok(Self { func, kind: PhantomData })
    }

    pub(super) fn call(
        &self,
        store: &mut Store<Guest>,
        frames: &[u8],
        missed: u64,
        taker: &mut Taker<'_>,
    ) -> wasmtime::Result<Answer> {
        // SAFETY: `check` has compared the function's type with just these parameters and results.
        let func = unsafe { TypedFunc::<(&[u8], u64), (Answer,)>::new_unchecked(self.func) };
        taking(taker, || func.call(store, (frames, missed))).map(|(answer,)| answer)
    }
}

/// Runs `work` with `taker` as the place where frames of this thread go.
fn taking<T>(taker: &mut Taker<'_>, work: impl FnOnce() -> T) -> T {
    struct Reset(*mut Taker<'static>);
    impl Drop for Reset {
        fn drop(&mut self) {
            TAKER.set(self.0);
        }
    }
    let _reset = Reset(TAKER.replace(ptr::from_mut(taker).cast()));
    work()
}

fn take(frames: &[u8]) -> wasmtime::Result<Frames> {
    let taker = TAKER.get();
    // SAFETY: a pointer that is not null was set by `taking` on this thread, whose exclusive borrow of the taker lasts until
    // it sets another; nothing else reads the pointer, and no two references made here live at once.
    let Some(taker) = (unsafe { taker.as_mut() }) else {
        return Err(wasmtime::Error::msg("frames were returned outside a call"));
    };
    if frames.len() > taker.bytes_max {
        return Ok(Frames(Err(Refusal::TooLarge { bytes: frames.len(), max: taker.bytes_max })));
    }
    let lifted = taker.outputs.lift(frames, taker.batch, taker.output_count);
    Ok(Frames(lifted.map_err(Refusal::from)))
}

// SAFETY: `list<u8>` is a pointer and a length, lowered as two values; typecheck admits nothing else.
unsafe impl ComponentType for Frames {
    type Lower = [ValRaw; 2];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::POINTER_PAIR;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        <[u8] as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: both functions read what the canonical ABI lays down for `list<u8>`, with its bounds checked.
unsafe impl Lift for Frames {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, _: InterfaceType, src: &Self::Lower) -> wasmtime::Result<Self> {
        take(slice(cx, src[0].get_u32(), src[1].get_u32())?)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, _: InterfaceType, bytes: &[u8]) -> wasmtime::Result<Self> {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a list is eight bytes"));
        take(slice(cx, word(0), word(4))?)
    }
}

fn slice<'m>(cx: &LiftContext<'m>, at: u32, len: u32) -> wasmtime::Result<&'m [u8]> {
    let memory = cx.memory();
    let rest = memory.get(at as usize..);
    rest.and_then(|rest| rest.get(..len as usize))
        .ok_or_else(|| wasmtime::Error::msg("the returned list lies outside the component's memory"))
}
