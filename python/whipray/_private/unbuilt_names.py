"""Tables of what Ray has and Whipray does not: modules and names, below ``whipray``.

`MODULES`: importing such a module works, using one of its names raises NotImplementedError. A
module that is partly built has its other names here, too. `LEFT_OUT`: importing such a module, or
one below it, raises an error that is an ImportError and a NotImplementedError; so a program that
can do without it goes on. ``docs/compatibility.md`` has a row for each.
"""

from __future__ import annotations

from typing import Final

_RUN_CONFIGS: Final = "Checkpoint CheckpointConfig FailureConfig Result RunConfig"
_DATA_READERS: Final = """
read_binary_files read_csv read_datasource read_images read_json read_numpy read_parquet read_text
from_arrow from_arrow_refs from_blocks from_huggingface from_items from_numpy from_numpy_refs
from_pandas from_pandas_refs from_torch range range_tensor
"""
_RDT: Final = """
TensorTransportManager deregister_nixl_memory register_nixl_memory register_nixl_memory_pool
register_tensor_transport set_nixl_cuda_stream set_target_device_for_ref set_target_for_ref
wait_tensor_freed
"""
_COMMON_CONNECTORS: Final = """
AddObservationsFromEpisodesToBatch AddStatesFromEpisodesToBatch AddTimeDimToBatchAndZeroPad
AgentToModuleMapping BatchIndividualItems FlattenObservations FrameStacking ModuleToAgentUnmapping
NumpyToTensor TensorToNumpy
"""
_SPACES: Final = """
choice grid_search lograndint loguniform qlograndint qloguniform qrandint qrandn quniform randint
randn sample_from uniform
"""

MODULES: Final[dict[str, str]] = {
    "_private.runtime_env": "",
    "_private.runtime_env.plugin": "RuntimeEnvPlugin",
    "air": f"{_RUN_CONFIGS} ScalingConfig session",
    "air.config": "CheckpointConfig FailureConfig RunConfig ScalingConfig",
    "autoscaler": "",
    "autoscaler.sdk": """bootstrap_config configure_logging create_or_update_cluster
        fillout_defaults get_head_node_ip get_worker_node_ips register_callback_handler
        request_resources rsync run_on_cluster teardown_cluster""",
    "client_builder": "ClientBuilder ClientContext",
    "cluster_utils": "AutoscalingCluster Cluster",
    "dag": """ClassMethodNode ClassNode CollectiveOutputNode DAGContext DAGInputData DAGNode
        FunctionNode InputAttributeNode InputNode MultiOutputNode plot""",
    "dag.compiled_dag_node": "CompiledDAG",
    "dag.dag_node": "DAGNode",
    "dag.input_node": "DAGInputData InputAttributeNode InputNode",
    "dag.output_node": "MultiOutputNode",
    "data": f"""{_DATA_READERS} ActorPoolStrategy BlockBasedFileDatasink DataContext DataIterator
        Dataset Datasink Datasource ExecutionOptions ExecutionResources Preprocessor ReadTask
        RowBasedFileDatasink SaveMode Schema TaskPoolStrategy""",
    "data.aggregate": "AggregateFn Count Max Mean Min Quantile Std Sum Unique",
    "data.block": "Block BlockAccessor BlockMetadata",
    "data.context": "DataContext ExecutionOptions ExecutionResources",
    "data.dataset": "Dataset MaterializedDataset Schema",
    "data.datasource": """BlockBasedFileDatasink Datasink Datasource FileBasedDatasource
        FilenameProvider Partitioning PathPartitionFilter ReadTask RowBasedFileDatasink""",
    "data.exceptions": "ExecutionTimeoutError RayDataUserCodeException SystemException",
    "data.expressions": "Expr col download lit star udf",
    "data.llm": """HttpRequestProcessorConfig Processor ProcessorConfig build_processor
        vLLMEngineProcessorConfig""",
    "data.preprocessor": "Preprocessor",
    "data.preprocessors": """Categorizer Chain Concatenator CountVectorizer FeatureHasher
        HashingVectorizer LabelEncoder MaxAbsScaler MinMaxScaler MultiHotEncoder Normalizer
        OneHotEncoder OrdinalEncoder PowerTransformer RobustScaler SimpleImputer StandardScaler
        Tokenizer""",
    "experimental": f"get_local_object_locations get_object_locations set_resource {_RDT}",
    "experimental.channel": "",
    "experimental.collective": """allgather allreduce create_collective_group
        destroy_all_collective_groups destroy_collective_group get_collective_groups
        reducescatter""",
    "experimental.compiled_dag_ref": "CompiledDAGFuture CompiledDAGRef",
    "experimental.locations": "get_local_object_locations get_object_locations",
    "experimental.rdt": _RDT,
    "experimental.tqdm_ray": "tqdm",
    "internal": "free",
    "internal.internal_api": "free",
    "job_submission": """DriverInfo JobDetails JobErrorType JobInfo JobStatus JobSubmissionClient
        JobType""",
    "rllib": "MultiAgentEnv",
    "rllib.algorithms": """APPO APPOConfig BC BCConfig CQL CQLConfig DQN DQNConfig IMPALA
        IMPALAConfig MARWIL MARWILConfig SAC SACConfig""",
    "rllib.algorithms.appo": "APPO APPOConfig",
    "rllib.algorithms.bc": "BC BCConfig",
    "rllib.algorithms.cql": "CQL CQLConfig",
    "rllib.algorithms.dqn": "DQN DQNConfig",
    "rllib.algorithms.dreamerv3": "DreamerV3 DreamerV3Config",
    "rllib.algorithms.impala": "IMPALA IMPALAConfig",
    "rllib.algorithms.iql": "IQL IQLConfig",
    "rllib.algorithms.marwil": "MARWIL MARWILConfig",
    "rllib.algorithms.sac": "SAC SACConfig",
    "rllib.algorithms.tqc": "TQC TQCConfig",
    "rllib.callbacks": "",
    "rllib.callbacks.callbacks": "RLlibCallback",
    "rllib.connectors": "",
    "rllib.connectors.common": _COMMON_CONNECTORS,
    "rllib.connectors.connector_pipeline_v2": "ConnectorPipelineV2",
    "rllib.connectors.connector_v2": "ConnectorV2",
    "rllib.connectors.env_to_module": f"""{_COMMON_CONNECTORS} EnvToModulePipeline MeanStdFilter
        ObservationPreprocessor PrevActionsPrevRewards WriteObservationsToEpisodes""",
    "rllib.connectors.learner": f"""{_COMMON_CONNECTORS} AddColumnsFromEpisodesToTrainBatch
        AddInfosFromEpisodesToTrainBatch AddNextObservationsFromEpisodesToTrainBatch
        AddOneTsToEpisodesAndTruncate ComputeReturnsToGo GeneralAdvantageEstimation
        LearnerConnectorPipeline""",
    "rllib.connectors.module_to_env": f"""{_COMMON_CONNECTORS} GetActions ListifyDataForVectorEnv
        ModuleToEnvPipeline NormalizeAndClipActions RemoveSingleTsTimeRankFromBatch
        UnBatchToIndividualItems""",
    "rllib.core": """COMPONENT_ENV_RUNNER COMPONENT_ENV_TO_MODULE_CONNECTOR
        COMPONENT_EVAL_ENV_RUNNER COMPONENT_LEARNER COMPONENT_LEARNER_GROUP
        COMPONENT_METRICS_LOGGER COMPONENT_MODULE_TO_ENV_CONNECTOR COMPONENT_OPTIMIZER
        COMPONENT_RL_MODULE Columns""",
    "rllib.core.columns": "Columns",
    "rllib.core.learner": "Learner LearnerGroup",
    "rllib.core.learner.learner": "Learner",
    "rllib.core.learner.learner_group": "LearnerGroup",
    "rllib.core.learner.torch": "",
    "rllib.core.learner.torch.torch_learner": "TorchLearner",
    "rllib.core.models": "",
    "rllib.core.models.catalog": "Catalog",
    "rllib.core.rl_module": "MultiRLModule MultiRLModuleSpec RLModuleSpec",
    "rllib.core.rl_module.apis": """InferenceOnlyAPI QNetAPI SelfSupervisedLossAPI
        TargetNetworkAPI ValueFunctionAPI""",
    "rllib.core.rl_module.apis.value_function_api": "ValueFunctionAPI",
    "rllib.core.rl_module.multi_rl_module": "MultiRLModule MultiRLModuleSpec",
    "rllib.core.rl_module.rl_module": "RLModuleSpec",
    "rllib.core.rl_module.torch": "TorchRLModule",
    "rllib.core.rl_module.torch.torch_rl_module": "TorchRLModule",
    "rllib.env": "EnvContext GroupAgentsWrapper MultiAgentEnv ParallelPettingZooEnv PettingZooEnv",
    "rllib.env.env_context": "EnvContext",
    "rllib.env.env_runner": "EnvRunner",
    "rllib.env.env_runner_group": "EnvRunnerGroup",
    "rllib.env.multi_agent_env": "MultiAgentEnv make_multi_agent",
    "rllib.env.multi_agent_env_runner": "MultiAgentEnvRunner",
    "rllib.env.multi_agent_episode": "MultiAgentEpisode",
    "rllib.env.single_agent_env_runner": "SingleAgentEnvRunner",
    "rllib.env.single_agent_episode": "SingleAgentEpisode",
    "rllib.env.wrappers": "",
    "rllib.env.wrappers.atari_wrappers": "wrap_atari_for_new_api_stack",
    "rllib.env.wrappers.pettingzoo_env": "ParallelPettingZooEnv PettingZooEnv",
    "rllib.utils.metrics": "LEARNER_CONNECTOR ENV_TO_MODULE_CONNECTOR MODULE_TO_ENV_CONNECTOR",
    "rllib.utils.metrics.metrics_logger": "MetricsLogger",
    "train": f"""{_RUN_CONFIGS} BackendConfig DataConfig ScalingConfig SyncConfig TrainContext
        TrainingFailedError get_checkpoint get_context get_dataset_shard report""",
    "train.torch": """TorchCheckpoint TorchConfig TorchTrainer accelerate backward
        enable_reproducibility get_device get_devices prepare_data_loader prepare_model
        prepare_optimizer""",
    "tune": f"""{_RUN_CONFIGS} {_SPACES} CLIReporter Callback Experiment ExperimentAnalysis
        JupyterNotebookReporter PlacementGroupFactory ProgressReporter ResultGrid ResumeConfig
        Stopper SyncConfig Trainable TuneConfig TuneContext TuneError Tuner create_scheduler
        create_searcher get_checkpoint get_context register_env register_trainable report run
        run_experiments with_parameters with_resources""",
    "tune.registry": "get_trainable_cls register_env register_trainable",
    "tune.result_grid": "ResultGrid",
    "tune.schedulers": """ASHAScheduler AsyncHyperBandScheduler FIFOScheduler HyperBandForBOHB
        HyperBandScheduler MedianStoppingRule PopulationBasedTraining
        PopulationBasedTrainingReplay ResourceChangingScheduler TrialScheduler""",
    "tune.search": """BasicVariantGenerator ConcurrencyLimiter Repeater SearchAlgorithm Searcher
        grid_search""",
    "tune.stopper": """CombinedStopper ExperimentPlateauStopper FunctionStopper
        MaximumIterationStopper NoopStopper Stopper TimeoutStopper TrialPlateauStopper""",
    "util": "as_completed connect disconnect map_unordered",
    "util.client": "ray",
    "util.collective": """allgather allgather_multigpu allreduce allreduce_multigpu barrier
        broadcast broadcast_multigpu create_collective_group destroy_collective_group
        get_collective_group_size get_group_handle get_rank gloo_available init_collective_group
        is_backend_available is_group_initialized nccl_available recv recv_multigpu reduce
        reduce_multigpu reducescatter reducescatter_multigpu register_collective_backend send
        send_multigpu synchronize""",
    "util.collective.types": "Backend ReduceOp",
    "util.debugpy": "set_trace",
    "util.joblib": "register_ray",
    "util.metrics": "Counter Gauge Histogram",
    "util.multiprocessing": "JoinableQueue Pool TimeoutError",
    "util.multiprocessing.pool": "AsyncResult Pool",
    "util.pdb": "set_trace",
    "util.ray_debugpy": "set_trace",
    "util.rpdb": "post_mortem set_trace",
    "util.state": """StateApiClient get_actor get_job get_log get_node get_objects
        get_placement_group get_task get_worker list_actors list_cluster_events list_jobs
        list_logs list_nodes list_objects list_placement_groups list_runtime_envs list_tasks
        list_workers summarize_actors summarize_objects summarize_tasks""",
    "util.state.common": """ActorState ClusterEventState JobState NodeState ObjectState
        PlacementGroupState RuntimeEnvState TaskState WorkerState""",
    "util.state.exception": "RayStateApiException",
    "util.tracing": "",
    "util.tracing.setup_local_tmp_tracing": "setup_tracing",
}

_OLD_STACK: Final = "it belongs to RLlib's old stack"
_SEARCHER: Final = "a searcher of another project"
_TRAINER: Final = "a trainer around another project"
_SHIM: Final = "a deprecated name that only warned"

LEFT_OUT: Final[dict[str, str]] = {
    "air.integrations": "callbacks of other projects",
    "ray_constants": _SHIM,
    "rllib.evaluation": _OLD_STACK,
    "rllib.execution": _OLD_STACK,
    "rllib.models": _OLD_STACK,
    "rllib.policy": _OLD_STACK,
    "serialization": _SHIM,
    "serve": "serving models is a product of its own",
    "state": _SHIM,
    "train.horovod": _TRAINER,
    "train.huggingface": _TRAINER,
    "train.lightgbm": _TRAINER,
    "train.lightning": _TRAINER,
    "train.tensorflow": _TRAINER,
    "train.xgboost": _TRAINER,
    "tune.search.ax": _SEARCHER,
    "tune.search.bayesopt": _SEARCHER,
    "tune.search.bohb": _SEARCHER,
    "tune.search.hebo": _SEARCHER,
    "tune.search.hyperopt": _SEARCHER,
    "tune.search.nevergrad": _SEARCHER,
    "tune.search.optuna": _SEARCHER,
    "tune.search.zoopt": _SEARCHER,
    "util.actor_group": "use a list of actors, or ray.util.ActorPool",
    "util.dask": "a project of its own",
    "util.horovod": "a project of its own",
    "util.iter": "use ray.data, or a generator task",
    "util.iter_metrics": "use ray.data, or a generator task",
    "util.lightgbm": "a project of its own",
    "util.sandbox": "a project of its own",
    "util.spark": "a project of its own",
    "util.xgboost": "a project of its own",
    "worker": _SHIM,
    "workflow": "Ray has removed it, too",
}
