"""Graders, runs of evaluations, and training."""

from __future__ import annotations

from stand_ins.model_server import Answer

from .parts import NOW, Asked, Json, new_id

_ERRORS = (
    "formula_parse_error",
    "invalid_variable_error",
    "model_grader_parse_error",
    "model_grader_refusal_error",
    "model_grader_server_error",
    "other_error",
    "python_grader_runtime_error",
    "python_grader_server_error",
    "sample_parse_error",
    "truncated_observation_error",
    "unresponsive_reward_error",
)


def grade(asked: Asked) -> Answer:
    """Give an answer half of the points. A test's failure is one of a grader's program."""
    asked.required("model_sample")
    grader: Json = asked.required("grader")
    errors: Json = dict.fromkeys(_ERRORS, False)
    if asked.wanted.failure is not None:
        errors["python_grader_runtime_error"] = True
        errors["python_grader_runtime_error_details"] = asked.wanted.failure
    return Answer(
        {
            "reward": 0.0 if asked.wanted.failure is not None else 0.5,
            "sub_rewards": {"politeness": 1.0, "length": 0.0},
            "model_grader_token_usage_per_model": {},
            "metadata": {
                "name": grader["name"],
                "type": grader["type"],
                "errors": errors,
                "execution_time": 0.1,
                "scores": {},
                "token_usage": None,
                "sampled_model_name": grader.get("model"),
            },
        }
    )


def run(asked: Asked) -> Answer:
    """Begin with a run of an evaluation."""
    source: Json = asked.required("data_source")
    failure = asked.wanted.failure
    return Answer(
        {
            "id": new_id("evalrun_"),
            "object": "eval.run",
            "eval_id": asked.ids["eval_id"],
            "name": asked.body.get("name") or "run",
            "model": source.get("model"),
            "status": "queued" if failure is None else "failed",
            "error": None if failure is None else {"code": "no_items", "message": failure},
            "created_at": NOW,
            "data_source": source,
            "metadata": {},
            "per_model_usage": None,
            "per_testing_criteria_results": None,
            "report_url": "https://platform.example.com/evaluations/1",
            "result_counts": {"total": 0, "errored": 0, "failed": 0, "passed": 0},
        }
    )


def train(asked: Asked) -> Answer:
    """Begin with a fine-tuned model."""
    failure = asked.wanted.failure
    error = {"code": "invalid_training_file", "message": failure, "param": "training_file"}
    return Answer(
        {
            "id": new_id("ftjob-"),
            "object": "fine_tuning.job",
            "created_at": NOW,
            "error": {"code": None, "message": None, "param": None} if failure is None else error,
            "fine_tuned_model": None,
            "model": asked.required("model"),
            "training_file": asked.required("training_file"),
            "validation_file": None,
            "status": "validating_files" if failure is None else "failed",
            "seed": asked.body.get("seed") or 42,
            "hyperparameters": {"n_epochs": "auto"},
            "organization_id": "org-1",
            "result_files": [],
            "trained_tokens": None,
        }
    )
