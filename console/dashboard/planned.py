"""The forms of what a project plans: people, on-call schedules, escalation policies, maintenance windows.

They are made, changed and deleted alike, each by the API's own calls; what differs stands in a `Planned` of each.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import BaseModel
from starlette.responses import Response

from console.dashboard.forms import Form, judged
from console.dashboard.page import Visit, is_id
from console.dashboard.rows import EMPTY, is_blank, rearranged, rows_of, with_rows
from console.dashboard.words import UNITS
from console.errors import InUse, Invalid, NotFound
from console.reading import checked
from console.routing import Call
from console.schemas import Body

Faults = Mapping[str, str]

NO_FAULTS: Final[Faults] = {}


class Api(Protocol):
    """A module of the API: what can be done with one kind of things."""

    def create(self, call: Call[Any]) -> Awaitable[Any]: ...

    def get(self, call: Call[None]) -> Awaitable[Any]: ...

    def change(self, call: Call[Any]) -> Awaitable[Any]: ...

    def delete(self, call: Call[None]) -> Awaitable[None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one row of a form must be. `part` None: a plain id. `main`: the field that faults of the whole stand at."""

    part: type[BaseModel] | None
    main: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One kind. `path`: of its list. `word`: what one is called. `loss`: what its deletion means. `creates`, `patches`:
    what `api` takes. `rows`: the lists of its form. `blank`: a new form, given now. `form_of`: what the form shows of
    an answer; `raw_of`: what the API takes of a form. `around`: what the page shows besides, of the one that it is
    about or of none, and of its form. `stays`: a saved form leads back to itself, not to the list.
    """

    path: str
    word: str
    template: str
    loss: str
    api: Api
    creates: type[Body]
    patches: type[Body]
    rows: Mapping[str, Row]
    blank: Callable[[int], Form]
    form_of: Callable[[Any], Form]
    raw_of: Callable[[Form], dict[str, Any]]
    around: Callable[[Visit, Any, Form], Awaitable[dict[str, Any]]]
    stays: bool = False

    async def new(self, visit: Visit) -> Response:
        return await self.page(visit, None, self.blank(await visit.context.db.now()))

    async def create(self, visit: Visit) -> Response:
        """Makes one, or shows beside each field what is wrong with it; a button of a row only changes the form."""
        if order := visit.field("rows"):
            return await self.page(visit, None, rearranged(visit.form, order))
        form = self._packed(visit.form)
        raw = self.raw_of(form)
        faults = self._faults(form, raw)
        if not faults:
            try:
                made = await self.api.create(self._call(visit, "", checked(self.creates, raw)))
                return visit.go(f"{self.path}/{made.id}" if self.stays else self.path)
            except Invalid as error:
                faults = {error.field or "": str(error)}
        return await self.page(visit, None, form, faults, 422)

    async def show(self, visit: Visit) -> Response:
        found = await self.found(visit)
        return await self.page(visit, found, self.form_of(found))

    async def change(self, visit: Visit) -> Response:
        """Writes what is other than before: a moment that was not touched keeps its seconds."""
        found = await self.found(visit)
        if order := visit.field("rows"):
            return await self.page(visit, found, rearranged(visit.form, order))
        form = self._packed(visit.form)
        raw = self.raw_of(form)
        faults = self._faults(form, raw)
        if not faults:
            before = self.raw_of(self.form_of(found))
            changes = {name: value for name, value in raw.items() if value != before[name]}
            try:
                await self.api.change(self._call(visit, found.id, checked(self.patches, changes)))
                return visit.go(f"{self.path}/{found.id}" if self.stays else self.path)
            except Invalid as error:
                faults = {error.field or "": str(error)}
        return await self.page(visit, found, form, faults, 422)

    async def delete(self, visit: Visit) -> Response:
        """Asks first; who is needed elsewhere stays, and the page says where."""
        found = await self.found(visit)
        here = f"{self.path}/{found.id}"
        if not visit.is_sure:
            return visit.ask(
                title=f"Delete this {self.word}?",
                text=self.loss,
                names=[found.name],
                button="Delete",
                to=f"{here}/delete",
                back=here,
            )
        try:
            await self.api.delete(self._call(visit, found.id, None))
        except InUse as error:
            return await self.page(visit, found, self.form_of(found), {"": str(error)}, 409)
        return visit.go(self.path)

    async def found(self, visit: Visit) -> Any:
        """The one that the path names. Raises NotFound also for one of another project."""
        (id_,) = visit.request.path_params.values()
        if not is_id(id_):
            raise NotFound(f"There is no such {self.word}.")
        return await self.api.get(self._call(visit, id_, None))

    async def page(
        self, visit: Visit, found: Any, form: Form, faults: Faults = NO_FAULTS, status: int = 200
    ) -> Response:
        """`found` None: the form of a new one. Of each list at least one row is there to be filled."""
        for name in self.rows:
            form = with_rows(form, name, rows_of(form, name) or [EMPTY])
        return visit.page(
            self.template,
            status,
            thing=found,
            path=self.path,
            word=self.word,
            loss=self.loss,
            action=f"{self.path}/{found.id if found else 'new'}",
            form=form,
            values={name: typed[0] for name, typed in form.items() if typed},
            lengths={name: len(rows_of(form, name)) for name in self.rows},
            order=visit.field("rows"),
            faults=faults,
            units=UNITS,
            now=await visit.context.db.now(),
            **await self.around(visit, found, form),
        )

    def _packed(self, form: Form) -> Form:
        """Without blank rows, the others numbered from 0: as they stand in the list that is sent."""
        for name in self.rows:
            form = with_rows(form, name, [row for row in rows_of(form, name) if not is_blank(row)])
        return form

    def _faults(self, form: Form, raw: Mapping[str, Any]) -> dict[str, str]:
        """By field; those within a row by the row's."""
        _, faults = judged(self.patches, raw)
        for name, row in self.rows.items():
            if row.part is None:
                continue
            within: dict[str, str] = {}
            for i, given in enumerate(raw[name]):
                for field, fault in needed(judged(row.part, given)[1], given).items():
                    key = f"{name}-{i}-{field}"
                    within[key if key in form else f"{name}-{i}-{row.main}"] = fault
            if within:
                faults.pop(name, None)
                faults |= within
        return faults

    def _call(self, visit: Visit, id_: str, given: Any) -> Call[Any]:
        return Call(visit.context, id_, given, principal=visit.visitor)


def needed(faults: Faults, raw: Mapping[str, Any]) -> dict[str, str]:
    """The same faults, but of what was left empty only that it is needed: nobody typed a wrong id or time there."""
    return {field: fault if raw.get(field) != "" else f"{field} is needed" for field, fault in faults.items()}
