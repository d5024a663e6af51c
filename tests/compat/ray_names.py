"""What Ray's users rely on: each name, by the section of docs/compatibility.md that has its row.

Names stand below ``ray``; ``a.b:C D`` is ``a.b.C`` and ``a.b.D``. `THERE` exist; `UNBUILT` are
known, and using them raises NotImplementedError; `LEFT_OUT` are modules that cannot be imported.
`USES` are options and calls: an expression, and what it raises ("": nothing).
"""

from __future__ import annotations

THERE = {
    "1": """
    :init shutdown is_initialized remote get put wait kill cancel get_actor get_gpu_ids nodes
    :cluster_resources available_resources get_runtime_context method
    :Language SCRIPT_MODE WORKER_MODE __version__ __commit__
    :ActorID NodeID JobID WorkerID TaskID ObjectID PlacementGroupID UniqueID FunctionID
    :ActorClassID ClusterID
    NodeID:from_hex from_binary nil from_random hex binary is_nil size
    _private.state:actors jobs workers node_ids current_node_id available_resources_per_node
    _private.state:total_resources_per_node
    util:placement_group scheduling_strategies actor_pool queue
    :runtime_env exceptions actor remote_function runtime_context cloudpickle
    rllib:algorithms core utils.metrics
    """,
    "3": "remote_function:RemoteFunction",
    "4": """
    actor:ActorClass ActorHandle ActorMethod exit_actor
    """,
    "5": """
    ObjectRefGenerator:__iter__ __aiter__ completed is_finished next_ready _next_sync send throw
    ObjectRefGenerator:close
    """,
    "6": """
    ObjectRef:hex binary is_nil task_id job_id nil from_random size future as_future call_site
    ObjectRef:owner_address tensor_transport _on_completed
    util:register_serializer deregister_serializer inspect_serializability
    """,
    "7": """
    exceptions:RayError RayTaskError GetTimeoutError TaskCancelledError WorkerCrashedError
    exceptions:NodeDiedError LocalRayletDiedError RayActorError ActorDiedError
    exceptions:ActorUnavailableError ObjectLostError ObjectFetchTimedOutError ObjectFreedError
    exceptions:OwnerDiedError ObjectReconstructionFailedError ReferenceCountingAssertionError
    exceptions:ObjectStoreFullError OutOfDiskError OutOfMemoryError RaySystemError
    exceptions:RuntimeEnvSetupError PendingCallsLimitExceeded UserCodeException
    exceptions:UnserializableException AsyncioActorExit PlasmaObjectNotAvailable
    exceptions:ActorAlreadyExistsError ActorHandleNotFoundError TaskPlacementGroupRemoved
    exceptions:ActorPlacementGroupRemoved TaskUnschedulableError ActorUnschedulableError
    exceptions:ObjectRefStreamEndOfStreamError StreamingGeneratorReplayInconsistentError
    exceptions:OufOfBandObjectRefSerializationException RayChannelError RayChannelTimeoutError
    exceptions:RayCgraphCapacityExceeded RayDirectTransportError AuthenticationError RpcError
    exceptions:CrossLanguageError
    """,
    "9": """
    runtime_context.RuntimeContext:get_job_id get_node_id get_worker_id get_task_id get_actor_id
    runtime_context.RuntimeContext:namespace gcs_address get_actor_name get_task_name
    runtime_context.RuntimeContext:get_task_function_name get_placement_group_id
    runtime_context.RuntimeContext:was_current_actor_reconstructed current_actor
    runtime_context.RuntimeContext:get_accelerator_ids get_assigned_resources is_canceled
    runtime_context.RuntimeContext:runtime_env get_runtime_env_string get_node_labels
    runtime_context.RuntimeContext:get_session_name get_temp_dir
    runtime_context.RuntimeContext:should_capture_child_tasks_in_placement_group get job_id
    runtime_context.RuntimeContext:node_id task_id actor_id current_placement_group_id
    runtime_context.RuntimeContext:get_resource_ids
    """,
    "10": """
    util.scheduling_strategies:NodeAffinitySchedulingStrategy PlacementGroupSchedulingStrategy
    util.scheduling_strategies:In NotIn Exists DoesNotExist
    """,
    "11": """
    util:placement_group remove_placement_group get_placement_group placement_group_table
    util:get_current_placement_group
    util.placement_group.PlacementGroup:ready wait bundle_specs bundle_count empty
    """,
    "12": "runtime_env:RuntimeEnv RuntimeEnvConfig",
    "13": """
    util.ActorPool:map map_unordered submit get_next get_next_unordered has_next has_free push
    util.ActorPool:pop_idle
    util.queue.Queue:put get put_nowait get_nowait put_async get_async put_nowait_batch
    util.queue.Queue:get_nowait_batch qsize size empty full shutdown
    util.queue:Empty Full
    util:list_named_actors get_node_ip_address get_node_instance_id log_once
    util:disable_log_once_globally enable_periodic_logging
    experimental.internal_kv:_internal_kv_get _internal_kv_put _internal_kv_del
    experimental.internal_kv:_internal_kv_exists _internal_kv_list _internal_kv_initialized
    """,
    "23": """
    rllib.algorithms:Algorithm AlgorithmConfig PPO PPOConfig
    rllib.algorithms.ppo:PPO PPOConfig
    rllib.algorithms.algorithm_config.AlgorithmConfig:copy freeze validate to_dict from_dict
    rllib.algorithms.algorithm_config.AlgorithmConfig:update_from_dict build_algo build
    rllib.algorithms.algorithm_config.AlgorithmConfig:get_state from_state is_multi_agent
    rllib.algorithms.algorithm_config.AlgorithmConfig:get_config_for_module environment
    rllib.algorithms.algorithm_config.AlgorithmConfig:env_runners learners training rl_module
    rllib.algorithms.algorithm_config.AlgorithmConfig:multi_agent evaluation callbacks reporting
    rllib.algorithms.algorithm_config.AlgorithmConfig:debugging checkpointing resources
    rllib.algorithms.algorithm_config.AlgorithmConfig:fault_tolerance framework api_stack
    rllib.algorithms.algorithm_config.AlgorithmConfig:experimental python_environment offline_data
    rllib.algorithms.algorithm.Algorithm:train evaluate stop get_module get_weights set_weights
    rllib.algorithms.algorithm.Algorithm:get_state set_state iteration save_to_path
    rllib.algorithms.algorithm.Algorithm:restore_from_path from_checkpoint save restore
    rllib.core.rl_module.rl_module:RLModule
    rllib.core.rl_module.rl_module.RLModule:from_checkpoint get_state set_state is_stateful
    rllib.core.rl_module.default_model_config:DefaultModelConfig
    rllib.core:DEFAULT_MODULE_ID DEFAULT_POLICY_ID DEFAULT_AGENT_ID ALL_MODULES
    rllib.utils.metrics:ENV_RUNNER_RESULTS EPISODE_RETURN_MEAN LEARNER_RESULTS
    rllib.utils.metrics:NUM_ENV_STEPS_SAMPLED_LIFETIME
    """,
}

# Modules that can be imported although all of their names are unbuilt.
MODULES = {
    "1": """
    util:metrics state collective multiprocessing joblib
    :job_submission dag cluster_utils experimental data tune train air autoscaler
    rllib:env connectors callbacks
    """,
}

UNBUILT = {
    "1": "internal:free",
    "10": "autoscaler.sdk:request_resources",
    "12": "_private.runtime_env.plugin:RuntimeEnvPlugin",
    "13": """
    util.multiprocessing:Pool
    util.joblib:register_ray
    util.metrics:Counter Gauge Histogram
    util:as_completed map_unordered
    util.pdb:set_trace
    util.rpdb:set_trace
    experimental.tqdm_ray:tqdm
    experimental:get_object_locations get_local_object_locations
    util.tracing.setup_local_tmp_tracing:setup_tracing
    """,
    "14": """
    util.collective:init_collective_group create_collective_group destroy_collective_group
    util.collective:is_group_initialized get_rank get_collective_group_size nccl_available
    util.collective:gloo_available register_collective_backend allreduce reduce broadcast
    util.collective:allgather reducescatter send recv barrier synchronize
    util.collective.types:ReduceOp
    experimental.collective:create_collective_group destroy_collective_group
    experimental.collective:destroy_all_collective_groups get_collective_groups
    experimental:wait_tensor_freed set_target_for_ref set_target_device_for_ref
    experimental:register_nixl_memory deregister_nixl_memory register_nixl_memory_pool
    experimental:set_nixl_cuda_stream register_tensor_transport TensorTransportManager
    """,
    "15": """
    dag:InputNode MultiOutputNode InputAttributeNode DAGNode ClassMethodNode FunctionNode
    experimental.compiled_dag_ref:CompiledDAGRef
    experimental.collective:allreduce allgather reducescatter
    """,
    "16": """
    client_builder:ClientBuilder
    cluster_utils:Cluster AutoscalingCluster
    """,
    "17": """
    util.state:list_actors list_tasks list_nodes list_objects list_workers list_jobs
    util.state:list_placement_groups list_runtime_envs list_cluster_events list_logs
    util.state:get_actor get_task get_node get_objects get_worker get_job get_placement_group
    util.state:get_log summarize_tasks summarize_actors summarize_objects StateApiClient
    util.state.common:ActorState TaskState ObjectState NodeState WorkerState
    util.state.common:PlacementGroupState JobState RuntimeEnvState ClusterEventState
    util.state.exception:RayStateApiException
    """,
    "18": """
    job_submission:JobSubmissionClient JobStatus JobDetails JobInfo JobType DriverInfo
    """,
    "22": """
    data:from_items range range_tensor read_parquet read_csv read_json read_text read_numpy
    data:read_binary_files read_images from_numpy from_pandas from_arrow from_torch
    data:from_huggingface from_numpy_refs from_pandas_refs from_arrow_refs
    data:Dataset ActorPoolStrategy TaskPoolStrategy DataContext Schema ExecutionOptions
    data:ExecutionResources Datasource Datasink
    data.exceptions:RayDataUserCodeException SystemException ExecutionTimeoutError
    data.block:Block BlockAccessor
    data.preprocessor:Preprocessor
    data.expressions:col lit
    data.llm:build_processor vLLMEngineProcessorConfig HttpRequestProcessorConfig
    """,
    "23": """
    rllib.algorithms:DQN DQNConfig SAC SACConfig IMPALA IMPALAConfig APPO APPOConfig BC BCConfig
    rllib.algorithms:MARWIL MARWILConfig CQL CQLConfig
    rllib.algorithms.iql:IQL IQLConfig
    rllib.algorithms.dreamerv3:DreamerV3 DreamerV3Config
    rllib.algorithms.tqc:TQC TQCConfig
    rllib.env.env_context:EnvContext
    rllib.env.env_runner:EnvRunner
    rllib.env.single_agent_env_runner:SingleAgentEnvRunner
    rllib.env.multi_agent_env_runner:MultiAgentEnvRunner
    rllib.env.env_runner_group:EnvRunnerGroup
    rllib.env.single_agent_episode:SingleAgentEpisode
    rllib.env.multi_agent_episode:MultiAgentEpisode
    rllib.env.multi_agent_env:MultiAgentEnv make_multi_agent
    rllib.core.rl_module.torch:TorchRLModule
    rllib.core.rl_module:RLModuleSpec MultiRLModule MultiRLModuleSpec
    rllib.core.rl_module.apis:ValueFunctionAPI TargetNetworkAPI QNetAPI SelfSupervisedLossAPI
    rllib.core.rl_module.apis:InferenceOnlyAPI
    rllib.core.learner:Learner LearnerGroup
    rllib.core.learner.torch.torch_learner:TorchLearner
    rllib.connectors.connector_v2:ConnectorV2
    rllib.connectors.env_to_module:FlattenObservations MeanStdFilter FrameStacking
    rllib.connectors.env_to_module:PrevActionsPrevRewards
    rllib.connectors.module_to_env:NormalizeAndClipActions GetActions
    rllib.connectors.common:AddStatesFromEpisodesToBatch BatchIndividualItems NumpyToTensor
    rllib.connectors.learner:GeneralAdvantageEstimation
    rllib.callbacks.callbacks:RLlibCallback
    rllib.utils.metrics.metrics_logger:MetricsLogger
    rllib.core.columns:Columns
    """,
    "24": """
    tune:Tuner TuneConfig RunConfig CheckpointConfig FailureConfig ResultGrid Result Checkpoint
    tune:grid_search choice uniform loguniform quniform randint lograndint randn sample_from
    tune:Trainable report get_checkpoint get_context with_parameters with_resources run Stopper
    tune:Callback register_env register_trainable
    tune.registry:register_env register_trainable
    tune.stopper:MaximumIterationStopper TrialPlateauStopper ExperimentPlateauStopper
    tune.stopper:TimeoutStopper CombinedStopper FunctionStopper
    tune.schedulers:ASHAScheduler PopulationBasedTraining HyperBandScheduler MedianStoppingRule
    train:ScalingConfig RunConfig report get_context get_checkpoint get_dataset_shard
    train.torch:TorchTrainer prepare_model prepare_data_loader
    """,
}

LEFT_OUT = {
    "1": "worker ray_constants serialization state",
    "13": """util.dask util.spark util.horovod util.lightgbm util.xgboost util.iter
    util.actor_group workflow util.sandbox""",
    "23": "rllib.policy rllib.models rllib.evaluation",
    "24": """serve tune.search.optuna tune.search.hyperopt tune.search.bohb tune.search.ax
    air.integrations train.xgboost train.lightgbm train.lightning""",
}

NOT = "NotImplementedError"

# (section, the word that the page's row has, expression, what it raises)
USES = [
    ("1", "timeline", "ray.timeline()", NOT),
    ("1", "LoggingConfig", "ray.LoggingConfig()", NOT),
    ("1", "timeout", "ray.get(ray.put(1), timeout=5)", ""),
    ("1", "_use_object_store", "ray.get(ray.put(1), _use_object_store=False)", ""),
    ("1", "_tensor_transport", "ray.put(1, _tensor_transport='nixl')", NOT),
    ("1", "num_returns", "ray.wait([ray.put(1)], num_returns=1)", ""),
    ("1", "fetch_local", "ray.wait([ray.put(1)], fetch_local=False)", ""),
    ("1", "no_restart", "ray.kill(A.options(max_restarts=1).remote(), no_restart=False)", ""),
    ("1", "recursive", "ray.cancel(f.remote(), recursive=False)", ""),
    ("1", "namespace", "ray.get_actor('nosuch', namespace='x')", "ValueError"),
    ("3", "bind", "f.bind()", NOT),
    ("3", "num_cpus", "f.options(num_cpus=2)", ""),
    ("3", "num_gpus", "f.options(num_gpus=0.5)", ""),
    ("3", "resources", "f.options(resources={'disk': 1})", ""),
    ("3", "memory", "f.options(memory=1)", ""),
    ("3", "accelerator_type", "f.options(accelerator_type='H100')", ""),
    ("3", "label_selector", "f.options(label_selector={'a': 'b'})", NOT),
    ("3", "fallback_strategy", "f.options(fallback_strategy=[{'label_selector': {}}])", NOT),
    ("3", "num_returns", "f.options(num_returns=2)", ""),
    ("3", "dynamic", "f.options(num_returns='dynamic').remote()", NOT),
    ("3", "max_retries", "f.options(max_retries=-1)", ""),
    ("3", "retry_exceptions", "f.options(retry_exceptions=[ValueError])", ""),
    ("3", "max_calls", "ray.remote(max_calls=1)(lambda: 1)", ""),
    ("3", "runtime_env", "f.options(runtime_env={'env_vars': {'A': '1'}})", ""),
    ("3", "scheduling_strategy", "f.options(scheduling_strategy='SPREAD')", ""),
    ("3", "name", "f.options(name='x')", ""),
    ("3", "enable_task_events", "f.options(enable_task_events=True)", ""),
    ("3", "enable_task_events", "f.options(enable_task_events=False)", NOT),
    ("3", "_labels", "f.options(_labels={'a': 'b'})", NOT),
    (
        "3",
        "_generator_backpressure_num_objects",
        "f.options(_generator_backpressure_num_objects=3)",
        "",
    ),
    ("3", "placement_group", "f.options(placement_group=None)", ""),
    ("3", "nosuch", "f.options(nosuch=1)", "ValueError"),
    ("4", "bind", "A.bind()", NOT),
    ("4", "bind", "a.m.bind()", NOT),
    ("4", "num_cpus", "A.options(num_cpus=0)", ""),
    ("4", "num_gpus", "A.options(num_gpus=0.5)", ""),
    ("4", "resources", "A.options(resources={'disk': 1})", ""),
    ("4", "memory", "A.options(memory=1)", ""),
    ("4", "accelerator_type", "A.options(accelerator_type='H100')", ""),
    ("4", "label_selector", "A.options(label_selector={'a': 'b'})", NOT),
    ("4", "fallback_strategy", "A.options(fallback_strategy=[{'label_selector': {}}])", NOT),
    ("4", "runtime_env", "A.options(runtime_env={'env_vars': {'A': '1'}})", ""),
    ("4", "scheduling_strategy", "A.options(scheduling_strategy='SPREAD')", ""),
    ("4", "max_concurrency", "A.options(max_concurrency=2)", ""),
    ("4", "concurrency_groups", "ray.remote(concurrency_groups={'io': 1})(Plain)", NOT),
    ("4", "max_restarts", "A.options(max_restarts=-1)", ""),
    ("4", "max_task_retries", "A.options(max_task_retries=-1)", ""),
    ("4", "name", "A.options(name='x', namespace='y', get_if_exists=True)", ""),
    ("4", "lifetime", "A.options(lifetime='detached')", ""),
    ("4", "max_pending_calls", "A.options(max_pending_calls=2)", NOT),
    (
        "4",
        "allow_out_of_order_execution",
        "A.options(allow_out_of_order_execution=True).remote()",
        NOT,
    ),
    (
        "4",
        "_actor_generator_backpressure_num_objects",
        "A.options(_actor_generator_backpressure_num_objects=2)",
        NOT,
    ),
    ("4", "enable_task_events", "A.options(enable_task_events=False)", NOT),
    ("4", "_labels", "A.options(_labels={'a': 'b'})", NOT),
    ("4", "enable_tensor_transport", "A.options(enable_tensor_transport=True)", NOT),
    ("4", "__ray_ready__", "ray.get(a.__ray_ready__.remote())", ""),
    ("4", "__ray_call__", "ray.get(a.__ray_call__.remote(lambda self: 1))", ""),
    ("4", "__ray_terminate__", "a.__ray_terminate__", ""),
    ("4", "_actor_id", "a._actor_id", ""),
    ("4", "_ray_actor_id", "a._ray_actor_id", ""),
    ("4", "num_returns", "a.m.options(num_returns=1)", ""),
    ("4", "concurrency_group", "a.m.options(concurrency_group='io').remote()", NOT),
    ("4", "max_task_retries", "a.m.options(max_task_retries=1)", ""),
    ("4", "retry_exceptions", "a.m.options(retry_exceptions=True)", ""),
    ("4", "tensor_transport", "a.m.options(tensor_transport='nccl').remote()", NOT),
    ("4", "name", "a.m.options(name='x')", ""),
    ("4", "enable_task_events", "a.m.options(enable_task_events=False)", NOT),
    (
        "4",
        "_generator_backpressure_num_objects",
        "a.g.options(num_returns='streaming', _generator_backpressure_num_objects=2)",
        "",
    ),
    ("4", "__ray_metadata__", "A.__ray_metadata__.modified_class", ""),
    (
        "5",
        "DynamicObjectRefGenerator",
        "ray.DynamicObjectRefGenerator",
        "AttributeError",
    ),
    (
        "10",
        "_spill_on_unavailable",
        "strategies.NodeAffinitySchedulingStrategy(node, True, _spill_on_unavailable=True)",
        NOT,
    ),
    (
        "10",
        "_fail_on_unavailable",
        "strategies.NodeAffinitySchedulingStrategy(node, False, _fail_on_unavailable=True)",
        NOT,
    ),
    ("10", "NodeLabelSchedulingStrategy", "strategies.NodeLabelSchedulingStrategy({})", NOT),
    ("10", "label_selector", "f.options(label_selector={'ray.io/node-id': 'x'})", NOT),
    (
        "11",
        "_soft_target_node_id",
        "ray.util.placement_group([{'CPU': 1}], _soft_target_node_id=node)",
        NOT,
    ),
    (
        "11",
        "bundle_label_selector",
        "ray.util.placement_group([{'CPU': 1}], bundle_label_selector=[{'a': 'b'}])",
        NOT,
    ),
    (
        "11",
        "topology_strategy",
        "ray.util.placement_group([{'CPU': 1}], topology_strategy={'a': 'PACK'})",
        NOT,
    ),
    *(
        ("12", field, f"f.options(runtime_env={{{field!r}: {value}}})", NOT)
        for field, value in (
            ("working_dir", "'https://x/y.zip'"),
            ("py_modules", "['https://x/y.zip']"),
            ("excludes", "['x']"),
            ("pip", "['x']"),
            ("uv", "['x']"),
            ("conda", "'x'"),
            ("config", "{'setup_timeout_seconds': 5}"),
            ("py_executable", "'x'"),
            ("worker_process_setup_hook", "'a.b'"),
            ("image_uri", "'x'"),
            ("container", "{'image': 'x'}"),
            ("nsight", "'default'"),
            ("rocprof_sys", "'default'"),
            ("java_jars", "['x']"),
            ("mpi", "{'args': []}"),
        )
    ),
    ("12", "nosuch", "f.options(runtime_env={'nosuch': 1})", "ValueError"),
    ("16", "cpp_function", "ray.cpp_function('x')", NOT),
    ("16", "cpp_actor_class", "ray.cpp_actor_class('x', 'y')", NOT),
    ("16", "java_function", "ray.java_function('x', 'y')", NOT),
    ("16", "java_actor_class", "ray.java_actor_class('x')", NOT),
    ("16", "client", "ray.client('x')", NOT),
]

INIT = [
    ("_tracing_startup_hook", "'x:y'", NOT),
    ("_redis_username", "'x'", NOT),
    ("_redis_password", "'x'", NOT),
    ("address", "'ray://host:10001'", NOT),
    ("cgroup_path", "'/sys/fs/cgroup'", NOT),
    ("enable_resource_isolation", "True", NOT),
    ("include_dashboard", "True", NOT),
    ("local_mode", "True", "RuntimeError"),
    ("logging_config", "object()", NOT),
    ("namespace", "''", "ValueError"),
    ("nosuch", "1", "RuntimeError"),
    ("object_spilling_directory", "'/tmp'", NOT),
    ("system_reserved_cpu", "1.0", NOT),
    ("system_reserved_memory", "1", NOT),
]
INIT_TAKES = """
address num_cpus num_gpus resources labels object_store_memory namespace runtime_env job_config
ignore_reinit_error configure_logging logging_level logging_format log_to_driver dashboard_host
dashboard_port
"""
INIT_PRIVATE = """
_temp_dir _system_config _memory _node_name _node_ip_address _metrics_export_port
_plasma_directory _enable_object_reconstruction
"""
CONTEXT = "address_info dashboard_url python_version ray_version ray_commit disconnect"

JOB_CONFIG = [
    ("jvm_options", "['x']", NOT),
    ("code_search_path", "['x']", NOT),
    ("_client_job", "True", NOT),
    ("default_actor_lifetime", "'detached'", NOT),
    ("_py_driver_sys_path", "['x']", NOT),
    ("runtime_env", "{}", ""),
    ("metadata", "{}", ""),
    ("ray_namespace", "'x'", ""),
]

# RLlib: method, keyword, a value that is not the default, and what it raises.
RLLIB = [
    ("environment", "env_config", "{'a': 1}", NOT),
    ("environment", "observation_space", "1", NOT),
    ("environment", "action_space", "1", NOT),
    ("environment", "render_env", "True", NOT),
    ("environment", "clip_rewards", "True", NOT),
    ("environment", "normalize_actions", "False", ""),
    ("environment", "clip_actions", "True", NOT),
    ("environment", "disable_env_checking", "True", ""),
    ("environment", "is_atari", "True", NOT),
    ("env_runners", "num_env_runners", "2", ""),
    ("env_runners", "num_envs_per_env_runner", "2", ""),
    ("env_runners", "gym_env_vectorize_mode", "'async'", NOT),
    ("env_runners", "num_cpus_per_env_runner", "2", ""),
    ("env_runners", "num_gpus_per_env_runner", "1", NOT),
    ("env_runners", "create_local_env_runner", "False", NOT),
    ("env_runners", "rollout_fragment_length", "'auto'", ""),
    ("env_runners", "batch_mode", "'complete_episodes'", NOT),
    ("env_runners", "sample_timeout_s", "5.0", ""),
    ("env_runners", "explore", "False", NOT),
    ("env_runners", "max_requests_in_flight_per_env_runner", "2", NOT),
    ("env_runners", "episode_lookback_horizon", "2", NOT),
    ("env_runners", "env_to_module_connector", "print", NOT),
    ("env_runners", "module_to_env_connector", "print", NOT),
    ("env_runners", "add_default_connectors_to_env_to_module_pipeline", "False", NOT),
    ("env_runners", "add_default_connectors_to_module_to_env_pipeline", "False", NOT),
    ("env_runners", "merge_env_runner_states", "True", NOT),
    ("env_runners", "compress_observations", "True", NOT),
    ("env_runners", "use_env_runner_state_server", "True", NOT),
    ("env_runners", "env_runner_cls", "int", NOT),
    ("learners", "num_learners", "0", ""),
    ("learners", "num_learners", "2", NOT),
    ("learners", "num_cpus_per_learner", "1", ""),
    ("learners", "num_gpus_per_learner", "1", NOT),
    ("learners", "num_aggregator_actors_per_learner", "1", NOT),
    ("learners", "local_gpu_idx", "1", NOT),
    ("learners", "max_requests_in_flight_per_learner", "1", NOT),
    ("learners", "learner_class", "int", NOT),
    ("learners", "learner_connector", "print", NOT),
    ("learners", "learner_config_dict", "{'a': 1}", NOT),
    ("training", "gamma", "0.9", ""),
    ("training", "lr", "[[0, 0.1], [10, 0.0]]", ""),
    ("training", "lr", "[[1, 0.1]]", "ValueError"),
    ("training", "grad_clip", "1.0", ""),
    ("training", "grad_clip_by", "'global_norm'", ""),
    ("training", "train_batch_size_per_learner", "100", ""),
    ("training", "num_epochs", "2", ""),
    ("training", "minibatch_size", "10", ""),
    ("training", "shuffle_batch_per_epoch", "False", NOT),
    ("training", "lambda_", "0.9", ""),
    ("training", "use_gae", "False", NOT),
    ("training", "use_critic", "False", NOT),
    ("training", "use_kl_loss", "False", ""),
    ("training", "kl_coeff", "0.1", ""),
    ("training", "kl_target", "0.1", ""),
    ("training", "vf_loss_coeff", "0.1", ""),
    ("training", "vf_clip_param", "1.0", ""),
    ("training", "entropy_coeff", "0.1", ""),
    ("training", "clip_param", "0.1", ""),
    ("rl_module", "rl_module_spec", "1", NOT),
    ("rl_module", "model_config", "{'fcnet_hiddens': [8]}", ""),
    ("rl_module", "model_config", "{'use_lstm': True}", NOT),
    ("rl_module", "algorithm_config_overrides_per_module", "{'a': 1}", NOT),
    ("multi_agent", "policies", "{'a'}", NOT),
    ("multi_agent", "policy_mapping_fn", "print", NOT),
    ("multi_agent", "policies_to_train", "['a']", NOT),
    ("multi_agent", "count_steps_by", "'agent_steps'", NOT),
    ("evaluation", "evaluation_interval", "1", ""),
    ("evaluation", "evaluation_duration", "5", ""),
    ("evaluation", "evaluation_duration_unit", "'timesteps'", NOT),
    ("evaluation", "evaluation_num_env_runners", "1", NOT),
    ("evaluation", "evaluation_parallel_to_training", "True", NOT),
    ("evaluation", "evaluation_config", "{'explore': True}", ""),
    ("evaluation", "evaluation_config", "{'gamma': 1}", NOT),
    ("evaluation", "evaluation_sample_timeout_s", "5.0", NOT),
    ("evaluation", "evaluation_force_reset_envs_before_iteration", "False", NOT),
    ("evaluation", "custom_evaluation_function", "print", NOT),
    ("evaluation", "offline_evaluation_interval", "1", NOT),
    ("callbacks", "callbacks_class", "int", NOT),
    ("callbacks", "on_algorithm_init", "print", NOT),
    ("callbacks", "on_train_result", "print", NOT),
    ("callbacks", "on_episode_end", "print", NOT),
    ("callbacks", "on_sample_end", "print", NOT),
    ("reporting", "metrics_num_episodes_for_smoothing", "10", ""),
    ("reporting", "min_time_s_per_iteration", "1", NOT),
    ("reporting", "min_sample_timesteps_per_iteration", "1", NOT),
    ("reporting", "min_train_timesteps_per_iteration", "1", NOT),
    ("reporting", "log_gradients", "True", NOT),
    ("debugging", "log_level", "'INFO'", ""),
    ("debugging", "seed", "1", ""),
    ("debugging", "log_sys_usage", "False", ""),
    ("checkpointing", "export_native_model_files", "True", NOT),
    ("resources", "num_cpus_for_main_process", "2", NOT),
    ("resources", "placement_strategy", "'SPREAD'", NOT),
    ("fault_tolerance", "restart_failed_env_runners", "False", ""),
    ("fault_tolerance", "ignore_env_runner_failures", "True", NOT),
    ("fault_tolerance", "max_num_env_runner_restarts", "1", ""),
    ("fault_tolerance", "delay_between_env_runner_restarts_s", "1.0", NOT),
    ("fault_tolerance", "restart_failed_sub_environments", "True", NOT),
    ("fault_tolerance", "num_consecutive_env_runner_failures_tolerance", "1", NOT),
    ("fault_tolerance", "env_runner_health_probe_timeout_s", "1.0", NOT),
    ("fault_tolerance", "env_runner_restore_timeout_s", "1.0", NOT),
    ("framework", "framework", "'torch'", ""),
    ("framework", "framework", "'tf2'", "ValueError"),
    ("framework", "torch_compile_learner", "True", NOT),
    ("api_stack", "enable_rl_module_and_learner", "False", NOT),
    ("offline_data", "input_", "['x']", NOT),
    ("offline_data", "input_read_method", "'read_json'", NOT),
    ("offline_data", "input_read_episodes", "True", NOT),
    ("offline_data", "input_read_batch_size", "1", NOT),
    ("offline_data", "materialize_data", "False", NOT),
    ("offline_data", "map_batches_kwargs", "{'a': 1}", NOT),
    ("offline_data", "iter_batches_kwargs", "{'a': 1}", NOT),
    ("offline_data", "dataset_num_iters_per_learner", "1", NOT),
    ("offline_data", "output", "'x'", NOT),
    ("offline_data", "output_write_episodes", "False", NOT),
    ("offline_data", "output_max_rows_per_file", "1", NOT),
    ("training", "nosuch", "1", "TypeError"),
]
# What an algorithm has in RLlib besides: named, and refused.
RLLIB_UNBUILT = """
training_step setup add_module remove_module env_runner env_runner_group eval_env_runner_group
learner_group metrics
"""

# Variables, without "RAY_".
VARIABLES = """
ADDRESS NAMESPACE RUNTIME_ENV TMPDIR API_SERVER_ADDRESS ENABLE_AUTO_CONNECT JOB_ID NODE_ID
RAYLET_PID OMP_NUM_THREADS CUDA_VISIBLE_DEVICES LOG_TO_DRIVER DEDUP_LOGS COLOR_PREFIX LOGGER_LEVEL
BACKEND_LOG_LEVEL BACKEND_LOG_JSON LOGGING_CONFIG_ENCODING ROTATION_MAX_BYTES
ROTATION_BACKUP_COUNT LOG_TO_STDERR TASK_MAX_RETRIES MAX_APPLICATION_ERROR_LENGTH
IGNORE_UNHANDLED_ERRORS WARN_BLOCKING_GET_INSIDE_ASYNC OVERRIDE_RESOURCES OVERRIDE_LABELS
OVERRIDE_JOB_RUNTIME_ENV RUNTIME_ENV_HOOK START_HOOK JOB_HEADERS JOB_STOP_SIGNAL
JOB_STOP_WAIT_TIME_S JOB_START_TIMEOUT_SECONDS ENABLE_UV_RUN_RUNTIME_ENV
ENABLE_ZERO_COPY_TORCH_TENSORS allow_out_of_band_object_ref_serialization RUNTIME_ENV_PLUGINS
DEBUG_POST_MORTEM AUTH_MODE AUTH_TOKEN AUTH_TOKEN_PATH USE_TLS
EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES ACCEL_ENV_VAR_OVERRIDE_ON_ZERO
TLS_SERVER_CERT TLS_SERVER_KEY TLS_CA_CERT memory_usage_threshold memory_monitor_refresh_ms
task_oom_retries min_memory_free_bytes object_spilling_threshold min_spilling_size
object_spilling_config object_spilling_directory local_fs_capacity_threshold
DEFAULT_OBJECT_STORE_MEMORY_PROPORTION OBJECT_STORE_ALLOW_SLOW_STORAGE preallocate_plasma_memory
max_direct_call_object_size task_rpc_inlined_bytes_limit max_lineage_bytes
fetch_fail_timeout_milliseconds fetch_warn_timeout_milliseconds object_manager_default_chunk_size
health_check_initial_delay_ms health_check_period_ms health_check_timeout_ms
health_check_failure_threshold gcs_rpc_server_reconnect_timeout_s
gcs_server_request_timeout_seconds num_workers_soft_limit worker_register_timeout_seconds
idle_worker_killing_time_threshold_ms worker_niceness kill_child_processes_on_worker_exit
prestart_worker_first_driver preload_python_modules task_events_report_interval_ms
task_events_max_num_task_in_gcs enable_timeline record_ref_creation_sites
record_task_actor_creation_sites metrics_report_interval_ms gcs_storage REDIS_ADDRESS
gcs_storage_path rdt_fetch_fail_timeout_milliseconds CGRAPH_get_timeout CGRAPH_submit_timeout
scheduler_spread_threshold scheduler_avoid_gpu_nodes locality_aware_leasing_enabled
worker_lease_timeout_milliseconds predefined_unit_instance_resources
max_pending_lease_requests_per_scheduling_category testing_rpc_failure testing_asio_delay_us
DEBUG PROFILING GRAFANA_HOST PROMETHEUS_HOST DISABLE_DOCKER_CPU_WARNING
USE_MULTIPROCESSING_CPU_COUNT
"""

START_OPTIONS = """
--head --address --port --num-cpus --num-gpus --resources --labels --labels-file --memory
--object-store-memory --node-ip-address --node-name --dashboard-host --dashboard-port
--include-dashboard --temp-dir --block --metrics-export-port --object-spilling-directory
--system-config --node-manager-port --object-manager-port --min-worker-port --max-worker-port
--worker-port-list --ray-client-server-port --dashboard-agent-listen-port
--dashboard-agent-grpc-port --runtime-env-agent-port --redis-username --redis-password
--plasma-directory --no-monitor --enable-resource-isolation --cgroup-path --system-reserved-cpu
--system-reserved-memory --disable-usage-stats --enable-object-reconstruction
--tracing-startup-hook
"""


def dotted(table: str) -> list[str]:
    """Return the names of a table's text: ``a.b:C D`` is ``a.b.C`` and ``a.b.D``."""
    names = []
    for line in table.strip().splitlines():
        where, _, listed = line.strip().partition(":")
        names += [f"{where}.{name}".removeprefix(".") for name in listed.split()]
    return names
