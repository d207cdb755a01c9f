"""The projects between which a visitor can switch."""

from collections.abc import Sequence

from console.access import Principal
from store import members
from store.database import Database
from store.members import Project


async def switchable(db: Database, visitor: Principal) -> Sequence[Project]:
    """Their own, and all for the server's admin; none for who came by a key, which has one project."""
    if not visitor.session:
        return ()
    if visitor.user is None:
        return await members.projects(db)
    return [project for project, _ in await members.projects_of(db, visitor.user)]
