"""Why a name of PyTorch is not here, and what of one that is here differs though its signature does not."""

from __future__ import annotations

from fnmatch import fnmatchcase

# The names, or with a dot the whole paths, as patterns. The first reason that matches counts.
REASONS = {
    "complex numbers are not there": """
        torch.fft.* stft istft complex complex[0-9]* cdouble cfloat chalf polar view_as_complex* view_as_real* eigvals
        torch.linalg.eig imag""",
    "sparse tensors are not there": """
        *sparse* SparseAdam ccol_indices* col_indices* crow_indices* row_indices* indices indices_copy values
        values_copy coalesce is_coalesced dense_dim to_dense dsmm hsmm hspmm saddmm smm spmm sspaddmm""",
    "quantised tensors are not there": """
        q_* *quant* qint* quint* qscheme int_repr fbgemm_* choose_qparams*""",
    "numbers of fewer bits than arrays have": """
        int[1-7] uint[1-7] float4_* float8_* bit bits* grouped_mm scaled_*mm ScalingType SwizzleType""",
    "a tensor has no storage apart from its array": """
        *Storage storage* is_storage untyped_storage set_ is_set_to const_data_ptr from_file""",
    "of libraries that gpunn does not call": """
        cudnn_* miopen_* *mkldnn* has_mkl has_lapack has_openmp has_spectral torch.nn.attention.*""",
    "of devices that gpunn does not run on": """
        ipu xpu mtia is_ipu is_xpu is_mtia is_maia is_mps is_vulkan* is_xla""",
    "in PyTorch it warns of its age, or raises an error": """
        torch.eig torch.Tensor.eig symeig torch.lstsq torch.Tensor.lstsq torch.solve torch.Tensor.solve
        torch.matrix_rank resize resize_as volatile reinforce Container NLLLoss2d set_default_tensor_type torch.range
        torch.nn.utils.clip_grad_norm register_backward_hook NestedIOFunction torch.autograd.Variable
        torch.autograd.variable torch.nn.init.*[a-z] torch.nn.functional.upsample* torch.lu torch.Tensor.lu
        torch.Tensor.is_shared torch.Tensor.new""",
    "forward mode, in steps; `gpunn.func.jvp` gives its results": "torch.autograd.forward_ad.* linearize",
    "data pipes, which PyTorch gave up": """
        *DataPipe DataChunk _DatasetKind argument_validation functional_datapipe guaranteed_datapipes_determinism
        non_deterministic runtime_validation*""",
    "for other classes in a tensor's place": """
        as_subclass DisableTorchFunction* handle_torch_function has_torch_function* module_load""",
    "all tensors are dense, and of images only those of two dimensions lie channels last": """
        layout channels_last_3d convert_conv3d_weight_memory_format""",
    "a backward is one walk in the thread of its caller; plans weigh memory": """
        set_multithreading_enabled region_activation_memory_budget set_override_stale_capture_stream
        set_warn_on_accumulate_grad_stream_mismatch""",
    "nested and named tensors are not there": "is_nested to_padded_tensor torch.Tensor.name",
    "of PyTorch's compiler; here a `gpunn.TrainStep` makes plans": """
        compile cond while_loop export sym_* Sym*""",
    "numbers of no sign, for which PyTorch itself has few operations": "uint16 uint32 uint64",
    "`gpunn.autocast` is a context, and nothing switches it otherwise": "set_autocast_*",
    "it looks for some eigenvalues of large sparse matrices; `gpunn.linalg.eigh` has all": "lobpcg",
    "work lies on CuPy's current stream, and memory in its pool; a `gpunn.TrainStep` captures its steps": """
        record_stream set_stream torch.accelerator.Graph""",
    "one process serves one device; see `gpunn.parallel`": "DataParallel",
    "a gradient has the type of its tensor": "grad_dtype",
    "Python's filters say how often a warning is given": "set_warn_always",
    "inside PyTorch: parts of other functions, the dispatcher, TorchScript": """
        AcceleratorError AggregationType AliasDb *Type Argument ArgumentSpec AVG BenchmarkConfig BenchmarkExecutionStats
        Block BufferDict CallStack Capsule Code CompilationUnit CompleteArgumentSpec ConcreteModuleTypeBuilder
        DeepCopyMemoTable DeserializationStorageContext DeviceObjType DispatchKey* ErrorReport ExcludeDispatchKeyGuard
        ExecutionPlan FatalError FileCheck FunctionSchema Future torch.Gradient torch.Graph GraphExecutorState
        IODescriptor JITException LiteScriptModule LockingLogger torch.ModuleDict torch.Node NoopLogger OperatorInfo
        torch.ParameterDict PyTorchFile* Script* SerializationStorageContext StaticModule SUM Tag ThroughputBenchmark
        TracingState Type Use Value autocast_*crement_nesting *_autocast_ipu_* *_autocast_xla_* clear_autocast_cache
        compiled_with_cxx11_abi fork get_device_module get_file_path hash_tensor import_ir_module* init_num_threads
        is_distributed merge_type_from_type_comment parse_* thread_safe_generator unify_type_list wait
        alias_copy as_strided_copy detach_copy diagonal_copy expand_copy permute_copy select_copy slice_copy split_copy
        split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy unfold_copy unsqueeze_copy view_copy
        affine_grid_generator batch_norm_* constant_pad_nd conv_tbc convolution embedding_renorm_ feature_dropout*
        frobenius_norm grid_sampler* torch.gru* torch.lstm* torch.rnn_* max_pool1d_with_indices native_*
        norm_except_dim nuclear_norm rsub slice_inverse segment_reduce
        torch.embedding_bag CrossMapLRN2d LinearCrossEntropyOptions
        apply_ map_ map2_ output_nr index torch.nn.factory_kwargs torch.nn.Buffer torch.optim.swap_*
        call_super_init dump_patches T_destination
        assert_int_or_pair boolean_dispatch BroadcastingList* GRID_SAMPLE_* *_notes TYPE_CHECKING
        check_backward_validity CheckpointFunction CheckpointPolicy create_selective_checkpoint_contexts
        DefaultDeviceType detach_variable *_device_states GraphExecGroup SAC_IGNORED_OPS SelectiveCheckpointContext
        enforce_grad_layout_policy functionalize debug_unwrap torch.func.rearrange torch.linalg.ldl_*
        invert_permutation torch.nn.functional.*_with_indices""",
}

_PATTERNS = [(pattern, reason) for reason, patterns in REASONS.items() for pattern in patterns.split()]


def reason(path: str) -> str:
    """Why the name at a path is missing; empty where it would have a meaning here."""
    name = path.rpartition(".")[2]
    return next((why for pattern, why in _PATTERNS if fnmatchcase(path if "." in pattern else name, pattern)), "")


NOTES = {
    "torch.save": "it writes safetensors, of tensors, numbers and text in dictionaries and lists",
    "torch.load": "it reads safetensors and what `torch.save` wrote of tensors, and never runs code",
}
"""What differs beyond the signature."""
