//! An instance of a component: one wasmtime store, called by one thread at a time.
//! Owns the instance's memory and limits; borrows the task's scope for the length of a call.

use wasmtime::component::Func;
use wasmtime::{Store, UpdateDeadline};

use crate::processor::{FaultKind, ProcessError, Processor, Scope};
use crate::record::BatchRef;

use super::component::Component;
use super::engine::Engine;
use super::fault;
use super::frames::{Answer, FramedFunc, Process, Taker, Tick};
use super::guest::{Deadline, Guest};
use super::limits::Limits;

/// Resources (streams, pollables) that an instance may hold at once.
const HANDLES_MAX: usize = 10_000;

/// Ticks of the epoch until a call is looked at, and between looks.
const LOOK_TICKS: u64 = 1;

pub(super) struct Instance {
    store: Store<Guest>,
    process: FramedFunc<Process>,
    tick: Option<FramedFunc<Tick>>,
    close: Option<Func>,
    limits: Limits,
    /// Held so that its epochs go on while this instance may run.
    engine: Engine,
    /// After a fault nothing of the store may be used.
    is_dead: bool,
    /// Kept between calls so that lending costs no allocation.
    spare: Option<Box<Scope>>,
}

impl Instance {
    /// Makes an instance and opens it.
    pub(super) fn open(component: &Component, document: &str, limits: &Limits) -> Result<Self, ProcessError> {
        let engine = component.engine.clone();
        let has_epochs = engine.options().epochs;
        let mut store = Store::new(engine.wasmtime(), Guest::new(limits));
        store.limiter(|guest| &mut guest.meter);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_hostcall_fuel(limits.output_bytes_max.max(limits.state_bytes_max).saturating_add(1 << 20));
        if has_epochs {
            store.epoch_deadline_callback(|mut cx| {
                cx.data_mut().deadline.look().map_err(wasmtime::Error::new)?;
                Ok(UpdateDeadline::Continue(LOOK_TICKS))
            });
        }
        begin(&mut store, limits.open_cpu_ms * 1_000_000, has_epochs);
        let made = Self::instantiate(&mut store, component, document);
        let (process, tick, close) = match made {
            Ok(Ok(functions)) => functions,
            Ok(Err(refusal)) => return Err(fault::plain(FaultKind::Failure("open".to_owned()), refusal).into()),
            Err(error) => return Err(fault::of_error(&error, store.data())),
        };
        let limits = *limits;
        Ok(Self { store, process, tick, close, limits, engine, is_dead: false, spare: None })
    }

    #[expect(clippy::type_complexity, reason = "three functions, used once")]
    fn instantiate(
        store: &mut Store<Guest>,
        component: &Component,
        document: &str,
    ) -> wasmtime::Result<Result<(FramedFunc<Process>, Option<FramedFunc<Tick>>, Option<Func>), String>> {
        let exports = &component.exports;
        let instance = component.linked.instantiate(&mut *store)?;
        let mut find = |index| instance.get_func(&mut *store, index);
        let open = find(&exports.open).ok_or_else(|| wasmtime::Error::msg("no `open`"))?;
        let process = find(&exports.process).ok_or_else(|| wasmtime::Error::msg("no `process`"))?;
        let tick = exports.tick.as_ref().and_then(&mut find);
        let close = exports.close.as_ref().and_then(&mut find);
        let process = FramedFunc::<Process>::check(process, store)?;
        let tick = tick.map(|tick| FramedFunc::<Tick>::check(tick, store)).transpose()?;
        let open = open.typed::<(&str,), (Result<(), String>,)>(&*store)?;
        let (opened,) = open.call(&mut *store, (document,))?;
        Ok(opened.map(|()| (process, tick, close)))
    }

    /// Lends `scope` to the store, calls, and takes it back, also on an error.
    #[inline]
    fn call(
        &mut self,
        batch: BatchRef<'_>,
        scope: &mut Scope,
        call: impl FnOnce(&mut Store<Guest>, &mut Taker<'_>) -> wasmtime::Result<Answer>,
    ) -> Result<(), ProcessError> {
        if self.is_dead {
            return Err(ProcessError::Host("an instance was called after a fault: it must be replaced".to_owned()));
        }
        let mut outputs = std::mem::take(&mut scope.outputs);
        let mark = outputs.mark();
        let output_count = scope.output_count;
        let budget_ns = (self.limits.call_cpu_ms * 1_000 + self.limits.record_cpu_us * batch.len() as u64) * 1_000;
        begin(&mut self.store, budget_ns, self.engine.options().epochs);
        let guest = self.store.data_mut();
        guest.wasi.begin_call(scope.now_ms, scope.seed);
        let mut lent = self.spare.take().unwrap_or_default();
        std::mem::swap(&mut *lent, scope);
        guest.scope = Some(lent);

        let bytes_max = self.limits.output_bytes_max;
        let mut taker = Taker { outputs: &mut outputs, batch, output_count, bytes_max };
        let answered = call(&mut self.store, &mut taker);

        let guest = self.store.data_mut();
        let mut lent = guest.scope.take().expect("every import that takes the scope puts it back");
        std::mem::swap(&mut *lent, scope);
        self.spare = Some(lent);
        let result = self.result(answered);
        if result.is_err() {
            outputs.cut_back(mark);
        }
        scope.outputs = outputs;
        self.store.data_mut().capture.drain(&mut scope.log);
        result
    }

    fn result(&mut self, answered: wasmtime::Result<Answer>) -> Result<(), ProcessError> {
        match answered {
            Ok(Ok(frames)) => frames.0.map_err(|refusal| fault::plain(FaultKind::Contract, refusal.to_string()).into()),
            Ok(Err(failure)) => Err(fault::failure(failure.code, failure.index, failure.message).into()),
            Err(error) => {
                self.is_dead = true;
                Err(fault::of_error(&error, self.store.data()))
            }
        }
    }
}

impl Processor for Instance {
    fn process(&mut self, batch: BatchRef<'_>, scope: &mut Scope) -> Result<(), ProcessError> {
        let (process, source) = (self.process, u32::from(batch.input().0));
        self.call(batch, scope, |store, taker| process.call(store, source, batch.frames(), taker))
    }

    fn tick(&mut self, batch: BatchRef<'_>, missed: u64, scope: &mut Scope) -> Result<(), ProcessError> {
        let Some(tick) = self.tick else { return Ok(()) };
        self.call(batch, scope, |store, taker| tick.call(store, batch.frames(), missed, taker))
    }

    fn is_bloated(&self) -> bool {
        self.store.data().meter.memory_bytes() > self.limits.memory_bytes_recycle
    }
}

impl Drop for Instance {
    /// Tells the component that it ends, if it wants to know and is in good order.
    fn drop(&mut self) {
        let Some(close) = self.close.filter(|_| !self.is_dead) else { return };
        begin(&mut self.store, self.limits.call_cpu_ms * 1_000_000, self.engine.options().epochs);
        let closed = close.typed::<(), ()>(&self.store).and_then(|close| close.call(&mut self.store, ()));
        if let Err(error) = closed {
            tracing::debug!(error = %error.root_cause(), "a component failed to close");
        }
    }
}

#[inline]
fn begin(store: &mut Store<Guest>, budget_ns: u64, has_epochs: bool) {
    if has_epochs {
        store.set_epoch_deadline(LOOK_TICKS);
    }
    let guest = store.data_mut();
    guest.deadline = Deadline::new(budget_ns);
    guest.meter.begin_call();
}
