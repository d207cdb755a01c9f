"""What can be done with projects: each has its own heartbeats, channels, keys and members."""

from console.access import Role
from console.answers import Answer
from console.errors import Invalid
from console.routing import Call
from console.schemas import Body, Name
from console.users import Login
from store import members, users


class ProjectCreate(Body):
    """`owner`: a login; null = the operator who makes it, if that is a user."""

    name: Name
    owner: Login | None = None


class ProjectPatch(Body):
    name: Name


class OwnProject(Answer):
    """A project, and what the caller is in it; `role` null: no member."""

    id: str
    name: str
    role: Role | None


class OwnProjects(Answer):
    projects: tuple[OwnProject, ...]
    next_cursor: None = None


async def create(call: Call[ProjectCreate]) -> OwnProject:
    """Make a project."""
    db, caller = call.context.db, call.principal
    owner = caller.user
    if call.given.owner is not None:
        found = await users.find(db, call.given.owner)
        if found is None:
            raise Invalid("owner must be the login of a user", field="owner")
        owner = found.id
    made = await members.create_project(db, call.given.name)
    if owner is not None:
        await members.set_role(db, made.id, owner, "owner")
    return OwnProject(id=made.id, name=made.name, role="owner" if owner and owner == caller.user else None)


async def page(call: Call[None]) -> OwnProjects:
    """List the caller's projects: those of a user, the one of a key, and all of them for an operator."""
    db, caller = call.context.db, call.principal
    roles = {project.id: role for project, role in await members.projects_of(db, caller.user or "")}
    shown = [
        OwnProject(id=project.id, name=project.name, role=roles.get(project.id))
        for project in await members.projects(db)
        if caller.operator or project.id in roles or project.id == caller.project
    ]
    return OwnProjects(projects=tuple(shown))


async def change(call: Call[ProjectPatch]) -> OwnProject:
    """Give a project another name."""
    db, caller = call.context.db, call.principal
    renamed = await members.rename_project(db, call.id, call.given.name)
    role = await members.role_of(db, renamed.id, caller.user) if caller.user else None
    return OwnProject(id=renamed.id, name=renamed.name, role=role)
