//! Faults planted on purpose, each at a seam that the simulation owns: a simulation that does not find them proves
//! nothing. Owns their names and what each stands for.

/// A planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    SkipFlush,
    RestoreToStable,
    RestoreAborted,
    ReadUncommitted,
    KeepProducer,
    DecideByOffsets,
    UnstableOffsets,
    Generationless,
    SkipMemberCheck,
    HideLoss,
    TrustCheckpoint,
    KeepFailedCall,
    ApplyBeforeCommit,
    KeepInstance,
    KeepOverlay,
    ForgetApply,
    ForgetTables,
    ForgetTicks,
    ForgetRevision,
    ForgetStreamTime,
    MovedOnly,
    KeepReading,
    SkipRestore,
    RepeatUnknown,
    BelieveCommit,
    MixVersions,
    CutoverOnce,
    SkipProbation,
    ReturnBelow,
    KeepJudgedCall,
    AdoptUsedInstance,
}

/// Name on the command line, the fault, and what it does.
pub const ALL: &[(&str, Mutant, &str)] = &[
    ("skip-the-flush", Mutant::SkipFlush, "commits without having looked at delivery reports"),
    ("restore-to-stable", Mutant::RestoreToStable, "restores to the last stable offset instead of the high watermark"),
    ("restore-aborted", Mutant::RestoreAborted, "restores records of aborted transactions too"),
    ("read-uncommitted", Mutant::ReadUncommitted, "reads inputs without regard to transactions"),
    ("keep-the-producer", Mutant::KeepProducer, "goes on with a producer after an indefinite outcome"),
    ("decide-by-offsets", Mutant::DecideByOffsets, "judges unknown outcomes by offsets, not by sequence and nonce"),
    ("unstable-offsets", Mutant::UnstableOffsets, "reads committed offsets while transactions are undecided"),
    ("commit-without-generation", Mutant::Generationless, "commits offsets with generation -1 and no member id"),
    ("skip-the-member-check", Mutant::SkipMemberCheck, "seals as whoever the group takes us for, without any check"),
    ("hide-the-loss", Mutant::HideLoss, "tells the worker nothing of lost partitions"),
    ("trust-a-stale-checkpoint", Mutant::TrustCheckpoint, "takes every checkpoint for fresh"),
    ("replay-the-prefix-twice", Mutant::KeepFailedCall, "keeps the changes of a failed call before its replay"),
    ("apply-before-commit", Mutant::ApplyBeforeCommit, "writes changes into the store when they are sealed"),
    ("keep-the-instance", Mutant::KeepInstance, "goes on with the memory of an instance whose effects were dropped"),
    ("forget-the-overlay", Mutant::KeepOverlay, "leaves uncommitted changes in the store of a task that has left"),
    (
        "forget-a-failed-apply",
        Mutant::ForgetApply,
        "goes on as if a store had taken the changes that it could not write",
    ),
    ("forget-the-tables", Mutant::ForgetTables, "begins a task without regard to how far its tables were"),
    ("forget-the-ticks", Mutant::ForgetTicks, "begins a task with the next tick of now, not with the one that was due"),
    ("forget-the-revision", Mutant::ForgetRevision, "begins a task as if no revision had run it"),
    ("forget-the-stream-time", Mutant::ForgetStreamTime, "begins a task at stream time 0"),
    ("commit-only-what-moved", Mutant::MovedOnly, "leaves inputs that did not move out of a commit"),
    ("read-on-after-an-abort", Mutant::KeepReading, "does not move back to the committed positions"),
    ("skip-the-restore", Mutant::SkipRestore, "takes every store for restored"),
    ("repeat-the-unknown", Mutant::RepeatUnknown, "makes a commit of unknown outcome once more"),
    ("believe-in-the-commit", Mutant::BelieveCommit, "takes every commit for committed"),
    ("mix-versions", Mutant::MixVersions, "changes versions as soon as it is ordered, in the middle of a set"),
    ("write-the-cutover-once", Mutant::CutoverOnce, "does not write a cutover again that an abort has dropped"),
    ("skip-the-probation", Mutant::SkipProbation, "adopts a new version without keeping the one before as a judge"),
    ("return-below", Mutant::ReturnBelow, "rolls back to the revision before instead of making a new one"),
    (
        "keep-what-the-judge-did",
        Mutant::KeepJudgedCall,
        "keeps what the version before did only to show whose fault it is",
    ),
    (
        "adopt-a-used-instance",
        Mutant::AdoptUsedInstance,
        "hands over an instance with a memory from before it took over",
    ),
];

impl Mutant {
    /// Shows only where versions change under way.
    pub fn is_in_swap(self) -> bool {
        matches!(
            self,
            Self::MixVersions
                | Self::CutoverOnce
                | Self::SkipProbation
                | Self::ReturnBelow
                | Self::KeepJudgedCall
                | Self::AdoptUsedInstance
        )
    }

    /// Planted in the simulation's own store.
    pub fn is_in_store(self) -> bool {
        matches!(
            self,
            Self::TrustCheckpoint
                | Self::KeepFailedCall
                | Self::ApplyBeforeCommit
                | Self::KeepOverlay
                | Self::ForgetApply
                | Self::KeepJudgedCall
        )
    }
}

pub fn by_name(name: &str) -> Option<Mutant> {
    ALL.iter().find(|(n, _, _)| *n == name).map(|(_, mutant, _)| *mutant)
}
