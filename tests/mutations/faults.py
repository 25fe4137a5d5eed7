"""Wires of flags, locks, faults and of what --resume checks."""

from __future__ import annotations

from tests.mutations.mutation import cut

_FAULTS = "tests/scripts/test_faults.py"
_REQUESTS = "tests/scripts/test_resume_requests.py"
_DAMAGE = "tests/scripts/test_resume_damage.py::test_every_entry_is_looked_at"
_LOCK = "tests/files/test_folder_lock.py"
_COMMAND = "tests/files/test_command.py"
_SCRIPT = "tests/scripts/test_train_script.py"

_FLAGS = (
    *cut(
        "files/command.py",
        f"{_COMMAND}::test_a_misspelt_flag",
        ("if word not in self._option_string_actions:", "if False:"),
    ),
    *cut("files/command.py", f"{_COMMAND}::test_a_flag_given_twice", ("if number > 1:", "if False:")),
    *cut("files/command.py", f"{_COMMAND}::test_help_ends_with_the_exit_codes", ("epilog=table(),", 'epilog="",')),
    *cut(
        "engine/flag.py",
        "tests/engine/cli/test_flags.py::test_a_run_lies_below_its_project",
        ("if not text.isprintable():", "if False:"),
        ('".." in path.parts or ', ""),
        ("path.is_absolute() or ", ""),
    ),
    *cut(
        "engine/flag.py",
        "tests/engine/cli/test_flags.py::test_paths_become_texts",
        ("            value = os.fspath(value)\n", ""),
    ),
    *cut(
        "engine/training/setup.py",
        f"{_SCRIPT}::test_a_default_of_the_data_set_is_reported_as_its_own",
        ("        _check_own_default(dataset, name)", "        pass"),
        ('raise EngineError(f"{dataset.file}: hyp: {error}") from None', "raise"),
    ),
    *cut(
        "engine/training/setup.py",
        f"{_SCRIPT}::test_what_is_misspelt_is_noticed_before_any_picture_is_drawn_or_looked_at",
        ("check_frozen(options.freeze, len(config.rows))", "pass"),
    ),
)

_LOCKS = (
    *cut(
        "files/folder_lock.py",
        f"{_LOCK}::test_a_file_that_its_owner_has_removed_meanwhile_is_no_lock",
        ("if _is_at(descriptor, file):", "if True:"),
    ),
    *cut(
        "files/folder_lock.py",
        f"{_LOCK}::test_one_process_locks_once",
        ("        if file in _held:", "        if False:"),
    ),
    *cut("files/folder_lock.py", f"{_LOCK}::test_without_locks_nothing_is_held", ("errno.ENOLCK, ", "")),
    *cut(
        "engine/runs.py",
        f"{_FAULTS}::test_a_folder_that_another_run_writes_into",
        ("        lock_run(base, held)\n", ""),
    ),
    *cut(
        "engine/training/start.py",
        f"{_FAULTS}::test_a_folder_that_another_run_writes_into",
        ('    lock_run(saved.folder, held, "wait for its end, or end it first")', "    pass"),
    ),
)

_CUT_OFF = (
    *cut(
        "engine/validation.py",
        f"{_FAULTS}::test_val_with_a_worker_that_is_killed",
        ("with ExitStack() as held, faults_told():", "with ExitStack() as held:"),
    ),
    *cut(
        "engine/cli/run.py",
        f"{_FAULTS}::test_val_with_a_worker_that_is_killed",
        ("message, code = str(error), ExitCode.INCOMPLETE", "message = str(error)"),
    ),
    *cut(
        "engine/training/loop.py",
        f"{_FAULTS}::test_an_earlier_run_is_not_this_one",
        ("    if not done:\n", "    if not training.last.is_file():\n"),
    ),
    *cut(
        "engine/training/loop.py",
        f"{_FAULTS}::test_a_training_that_ends_early",
        ("            progress.epoch = epoch\n", "            pass\n"),
        ('with faults_told(lambda: f"; {_kept(training)}"):', "with faults_told():"),
    ),
    *cut(
        "engine/training/saving.py",
        f"{_REQUESTS}::test_a_best_that_somebody_removed_or_damaged",
        ("        save_checkpoint(training.best, _weights(training))\n        return", "        return"),
        ("        training.progress.best_epoch = training.progress.epoch - 1\n", ""),
    ),
)

_CHECKS = (
    *cut(
        "engine/training/state.py",
        _DAMAGE,
        ("    _check_progress(progress, options, content)\n", ""),
        ('    check_weights(entry_of(content, "model", "model"), "model")\n', ""),
        ('    check_random(entry_of(training, "random", "training.random"))\n', ""),
        ('        check_facts(ScalerFacts, scaler, "training.scaler")\n', "        pass\n"),
    ),
    *cut(
        "engine/training/learner.py",
        _DAMAGE,
        ('            check_fit(saved.content["model"], average.state_dict(), "model")\n', ""),
        (
            '            check_optimizer(state["optimizer"], self.optimizer, [group.names for group in self.groups])\n',
            "",
        ),
    ),
    *cut(
        "engine/training/start.py",
        f"{_REQUESTS}::test_a_data_set_that_has_moved",
        ("write_yaml(saved.folder / OPTIONS, options.as_dict())", "pass"),
        ("    if request.data is not None or _is_there", "    if True or _is_there"),
    ),
    *cut(
        "engine/training/state.py",
        f"{_REQUESTS}::test_another_data_set_is_refused_and_the_difference_named",
        ("if found and moved:", "if False:"),
    ),
    *cut(
        "engine/training/state.py",
        f"{_REQUESTS}::test_patience_counts_from_the_extension",
        ("max(self.best_epoch, self.extended_at - 1)", "self.best_epoch"),
    ),
    *cut(
        "engine/training/state.py",
        f"{_REQUESTS}::test_a_finished_training_is_extended",
        ("finished=False, extended_at=progress.epoch", "finished=False"),
    ),
    *cut(
        "engine/training/state.py",
        f"{_REQUESTS}::test_a_budget_holds_when_it_is_resumed",
        ("with model_budget(options.model_budget):", "with model_budget(1):"),
    ),
)

MUTATIONS = (*_FLAGS, *_LOCKS, *_CUT_OFF, *_CHECKS)
