from store import projects
from store.database import Database
from tests.console.conftest import PUBLIC_URL, Api


async def test_the_project_has_one_ping_key(api: Api, store: Database) -> None:
    project = (await api.get("/api/project")).body

    assert project["name"] == "default"
    assert project["ping_url"] == f"{PUBLIC_URL}/ping/{project['ping_key']}"
    assert (await api.get("/api/project")).body == project
    assert await projects.owners(store, [project["ping_key"]]) == [("project", "default")]


async def test_rotation_gives_a_new_ping_key_and_the_old_one_belongs_to_nobody(api: Api, store: Database) -> None:
    made = await api.heartbeat(slug="copy")
    old = (await api.get("/api/project")).body
    new = (await api.post("/api/project/rotate")).body
    shown = (await api.get("/api/heartbeats/" + made["id"])).body

    assert new["ping_key"] != old["ping_key"]
    assert (await api.get("/api/project")).body == new
    assert shown["slug_url"] == new["ping_url"] + "/copy"
    assert shown["ping_url"] == made["ping_url"]
    assert await projects.owners(store, [old["ping_key"], new["ping_key"]]) == [None, ("project", "default")]
