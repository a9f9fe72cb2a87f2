"""The OpenAPI document of the JSON that the app takes and gives."""

from aqa_cache import __version__

_TEXT, _NUMBER, _WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}
_SOME_NUMBER, _SOME_TEXT = {"type": ["number", "null"]}, {"type": ["string", "null"]}
_SOME_WHOLE = {"type": ["integer", "null"], "minimum": 0}


def document() -> dict:
    """As JSON; OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "aqa-app",
            "version": __version__,
            "description": (
                "Scores of actions in videos, and annotations to train on. One job is done at a time; the"
                " others wait in a queue. On another address than this machine's every request brings the"
                " token: `Authorization: Bearer TOKEN`."
            ),
        },
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _paths() -> dict:
    id = _parameter("id", "path", {"type": "string", "pattern": "^[0-9a-f]{16}$"}, "Of it.")
    name = _parameter("name", "query", _TEXT, "The video's file name; its suffix says that it is one.", True)
    archive = _parameter("name", "query", _TEXT, "The archive's file name, which ends in .zip.", True)
    wait = _parameter("wait", "query", {**_WHOLE, "maximum": 300}, "Seconds to wait for the end of the job.")
    model = _parameter("model", "query", _TEXT, "Id of a model; may be left out where there is one.")
    part = [
        _parameter("start_frame", "query", _WHOLE, "Where the action starts, 0-based."),
        _parameter("end_frame", "query", _WHOLE, "Where it ends; that frame is not part of it."),
        _parameter("difficulty", "query", _NUMBER, "Where the model needs it."),
    ]
    body = {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
    job, row = _answer("The job.", "Job"), _answer("The row.", "Row")
    changed = {
        "200": row,
        "409": _answer("Somebody has changed it meanwhile.", "Conflict"),
        "507": _answer("The change is kept, and the table could not be written.", "Conflict"),
    }
    return {
        "/api/score": {
            "post": _operation(
                "Score a video: its bytes are the request's body. It is kept, and gets a row of annotations.",
                [name, model, *part, wait],
                {"200": _answer("Scored, or failed.", "Job"), "202": _answer("In the queue.", "Job")},
                body,
            )
        },
        "/api/videos": {
            "post": _operation("Keep a video, to annotate it.", [name], {"201": row}, body),
        },
        "/api/videos/{id}/rows": {
            "post": _operation("Add a row for a further action in a video.", [id], {"201": row}),
        },
        "/api/rows": {"get": _operation("All rows.", [], {"200": _answer("The rows.", "Rows")})},
        "/api/rows/{id}": {
            "get": _operation("A row.", [id], {"200": row}),
            "patch": _operation(
                "Change values of a row.",
                [id],
                changed,
                _json_body("Change"),
            ),
        },
        "/api/rows/{id}/undo": {
            "post": _operation(
                "Take the last change of a row back.",
                [id],
                changed,
                _json_body("Undo"),
            )
        },
        "/api/rows/{id}/remove": {
            "post": _operation(
                "Take a row out of the table, until it is put back; its video stays.",
                [id],
                changed,
                _json_body("Removal"),
            )
        },
        "/api/rows/{id}/put-back": {
            "post": _operation("Put a row that was removed where it was.", [id], changed)
        },
        "/api/rows/{id}/score": {
            "post": _operation("Score a row's action.", [id], {"202": job}, _json_body("ByModel")),
        },
        "/api/jobs/{id}": {
            "get": _operation("A job.", [id, wait], {"200": job}),
            "delete": _operation(
                "Take a job out of the queue, or end it.", [id], {"204": {"description": "Done."}}
            ),
        },
        "/api/models": {
            "get": _operation("The models.", [], {"200": _answer("The models.", "Models")}),
            "post": _operation(
                "Add a packed model (aqa-data pack): its bytes are the request's body.",
                [archive],
                {"201": _answer("The model.", "Model")},
                body,
            ),
        },
        "/api/learn": {
            "post": _operation(
                "Train the default model on the annotations, on features as those of a model, or of S3D"
                " (`s3d` in place of an id).",
                [],
                {"202": job},
                _json_body("ByModel"),
            )
        },
    }


def _schemas() -> dict:
    row = {
        "id": _TEXT,
        "version": _WHOLE,
        "sample_id": _TEXT,
        "video": _TEXT,
        "start_frame": _SOME_WHOLE,
        "end_frame": _SOME_WHOLE,
        "final_score": _SOME_NUMBER,
        "difficulty": _SOME_NUMBER,
        "split": _SOME_TEXT,
        "group": _SOME_TEXT,
        "fold": _SOME_TEXT,
        "caption": _SOME_TEXT,
        "comment": _TEXT,
        "classes": {"type": "object", "additionalProperties": _TEXT},
        "marks": {"type": "object", "additionalProperties": _NUMBER},
        "extra": {"type": "object", "additionalProperties": _TEXT},
        "who": _TEXT,
        "undoable": {"type": "boolean"},
    }
    changes = {
        **{name: row[name] for name in ("start_frame", "end_frame", "final_score", "difficulty")},
        **dict.fromkeys(("split", "group", "caption", "comment"), _SOME_TEXT),
        "classes": {"type": "object", "additionalProperties": _SOME_TEXT},
        "marks": {"type": "object", "additionalProperties": _SOME_NUMBER},
    }
    score = {
        "sample_id": _TEXT,
        "points": _SOME_NUMBER,
        "interval": {"type": ["array", "null"], "items": _NUMBER},
        "interval_note": _TEXT,
        "notes": {"type": "array", "items": _TEXT},
    }
    job = {
        "id": _TEXT,
        "kind": {"enum": ["prepare", "score", "learn"]},
        "state": {"enum": ["waiting", "running", "done", "failed"]},
        "place": {**_SOME_WHOLE, "description": "In the queue: 0 is under way, 1 the next."},
        "said": _TEXT,
        "share": _SOME_NUMBER,
        "error": _TEXT,
        "note": {**_TEXT, "description": "Of what is done: what a person should know."},
        "page": _TEXT,
        "score": {"anyOf": [_ref("Score"), {"type": "null"}]},
    }
    model = {
        **{"id": _TEXT, "label": _TEXT, "spearman": _SOME_NUMBER, "tested": _WHOLE},
        "floors": {"type": "object", "additionalProperties": _NUMBER},
        "interval_half_width": _SOME_NUMBER,
        "interval_note": _TEXT,
        "needs_difficulty": {"type": "boolean"},
        "notes": {"type": "array", "items": _TEXT},
        "problem": _TEXT,
    }
    return {
        "Row": _object(row),
        "Rows": _object({"rows": {"type": "array", "items": _ref("Row")}}),
        "Score": {
            **_object(score),
            "description": "As in scores.json (docs/scoring.md).",
            "additionalProperties": True,
        },
        "Job": _object(job, ("id", "kind", "state")),
        "Model": _object(model),
        "Models": _object({"models": {"type": "array", "items": _ref("Model")}}),
        "Change": _object(
            {"version": _WHOLE, "changes": _object(changes, ()), "who": _TEXT}, ("version", "changes")
        ),
        "Undo": _object({"version": _WHOLE, "who": _TEXT}, ("version",)),
        "Removal": _object({"version": _WHOLE}),
        "ByModel": _object({"model": _TEXT}),
        "Conflict": _object({"error": _TEXT, "row": _ref("Row")}),
        "Error": _object({"error": _TEXT}),
    }


def _operation(summary: str, parameters: list, answers: dict, body: dict | None = None) -> dict:
    failing = _answer("What was got, what was expected, what to do.", "Error")
    said = {"summary": summary, "responses": {**answers, "default": failing}}
    return said | ({"parameters": parameters} if parameters else {}) | ({"requestBody": body} if body else {})


def _parameter(name: str, place: str, schema: dict, said: str, required: bool = False) -> dict:
    return {
        "name": name,
        "in": place,
        "schema": schema,
        "description": said,
        "required": required or place == "path",
    }


def _answer(said: str, name: str) -> dict:
    return {"description": said, "content": {"application/json": {"schema": _ref(name)}}}


def _json_body(name: str) -> dict:
    return {"required": True, "content": {"application/json": {"schema": _ref(name)}}}


def _ref(name: str) -> dict:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict, required: tuple[str, ...] | None = None) -> dict:
    needed = list(properties) if required is None else list(required)
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}
