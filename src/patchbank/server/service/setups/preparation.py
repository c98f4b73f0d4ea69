"""Preparation of products before they are in use: set-ups, their jobs, and comparisons."""

from __future__ import annotations

from dataclasses import dataclass

from patchbank.runtime.logs import LOGGER
from patchbank.server.records.data_folder import DataFolder
from patchbank.server.records.store import Records
from patchbank.server.service.jobs import Jobs
from patchbank.server.service.settings import ServiceSettings
from patchbank.server.service.setups.comparisons import Comparisons
from patchbank.server.service.setups.jobs import SetupJobs
from patchbank.server.service.setups.store import Setups
from patchbank.server.service.versions import Versions


@dataclass(frozen=True, slots=True)
class Preparation:
    """Set-ups, the jobs that work on them, and comparisons of a service."""

    jobs: Jobs
    """Jobs of all kinds, those of other parts of the service too."""
    setups: Setups
    work: SetupJobs
    comparisons: Comparisons

    @classmethod
    def of(
        cls,
        folder: DataFolder,
        settings: ServiceSettings,
        versions: Versions,
        records: Records,
    ) -> Preparation:
        """The set-ups and comparisons of a data folder."""
        jobs = Jobs()
        setups = Setups(folder.setups, settings)
        return cls(
            jobs,
            setups,
            SetupJobs(setups, jobs, settings),
            Comparisons(folder.comparisons, versions, records, folder.pictures, jobs, settings),
        )

    def tidy(self) -> None:
        """Remove what nobody has changed for days."""
        try:
            n_setups, n_comparisons = self.setups.tidy(), self.comparisons.tidy()
        except OSError as error:
            LOGGER.error("set-ups: %s: %s", type(error).__name__, error)
            return
        if n_setups or n_comparisons:
            LOGGER.info("removed %d set-ups and %d comparisons", n_setups, n_comparisons)
