"""Where the steps of a research job run: in processes of this machine, or, where the run's config says so, in pods.

    execution:
      config:
        max_concurrent: 4
        pods: {job_image: "registry/trading-platform:1.2.0", job_namespace: research}

Never for the jobs of a trading day: a pod takes longer to start than a minute may last. Belongs here: the choice. What
is configured under `pods` is what dagster-k8s's own executor takes, and is imported only when it is asked for.
"""

from typing import Any, Final

import dagster as dg

from trading_platform.config.names import did_you_mean
from trading_platform.domain.errors import InvalidInput

_NO_RETRIES: Final[dict[str, Any]] = {"enabled": {}}
_SCHEMA: Final = {
    "max_concurrent": dg.Field(
        dg.Noneable(int), default_value=None, description="Steps at once; left out, as many as there are cores."
    ),
    "pods": dg.Field(
        dg.Noneable(dict),
        default_value=None,
        description="A pod for each step: what k8s_job_executor takes, such as job_image and job_namespace.",
    ),
}


@dg.executor(name="processes_or_pods", config_schema=_SCHEMA, requirements=dg.multiple_process_executor_requirements())
def processes_or_pods(init_context: dg.InitExecutorContext) -> dg.Executor:
    """The executor that the run's config asks for."""
    config: dict[str, Any] = dict(init_context.executor_config)
    pods = config["pods"]
    if pods is None:
        return _made(dg.multiprocess_executor, init_context, {"max_concurrent": config["max_concurrent"]})
    most = {} if config["max_concurrent"] is None else {"max_concurrent": config["max_concurrent"]}
    return _made(_in_pods(pods), init_context, {**pods, **most})


def _in_pods(pods: dict[str, Any]) -> dg.ExecutorDefinition:
    """The executor of dagster-k8s. Raises `InvalidInput` where it is not installed, or does not know a name."""
    try:
        from dagster_k8s import k8s_job_executor
    except ImportError as error:
        raise InvalidInput(
            f"steps in pods need dagster-k8s, which does not import: {error}",
            where="execution, config, pods",
            mend="Install it beside Dagster, or leave pods out: the steps then run in processes",
        ) from error
    known: set[str] = set(getattr(k8s_job_executor.config_schema.config_type, "fields", ()))
    for name in pods:
        if name not in known:
            raise InvalidInput(
                f"there is no {name!r}{did_you_mean(name, known)}",
                where="execution, config, pods",
                mend=f"Known: {', '.join(sorted(known))}",
            )
    return k8s_job_executor


def _made(chosen: dg.ExecutorDefinition, init_context: dg.InitExecutorContext, config: dict[str, Any]) -> dg.Executor:
    create = chosen.executor_creation_fn
    assert create is not None
    return create(
        dg.InitExecutorContext(
            job=init_context.job,
            executor_def=chosen,
            executor_config={"retries": _NO_RETRIES, **config},
            instance=init_context.instance,
        )
    )
