/* SPDX-License-Identifier: Apache-2.0 */
/* pickle_globals: what the names in a pickle are, judged without running anything.
 *
 * Three answers. Known: what ordinary checkpoints are made of; a closed list. Danger: what runs
 * code, loads other pickles or touches files, network and processes. Unknown: everything else.
 * Because nothing is ever called, the list of dangers protects nobody here; it tells the user what
 * the file would do elsewhere, and may err on the loud side only. */
#include "format/pickle.h"

#include <ctype.h>
#include <string.h>

struct known {
    const char *module, *name;
    uint8_t role;
};

/* Names that mean something to us, and those of plain data. */
static const struct known known[] = {
    {"torch._utils", "_rebuild_tensor_v2", SC_PK_ROLE_TENSOR},
    {"torch._utils", "_rebuild_tensor", SC_PK_ROLE_TENSOR},
    {"torch._utils", "_rebuild_tensor_v3", SC_PK_ROLE_TENSOR_V3},
    {"torch._utils", "_rebuild_parameter", SC_PK_ROLE_PARAMETER},
    {"torch._utils", "_rebuild_parameter_with_state", SC_PK_ROLE_PARAMETER},
    {"torch._utils", "_rebuild_qtensor", SC_PK_ROLE_QTENSOR},
    {"torch._utils", "_rebuild_sparse_tensor", SC_PK_ROLE_SPARSE},
    {"torch._utils", "_rebuild_sparse_csr_tensor", SC_PK_ROLE_SPARSE},
    {"torch._utils", "_rebuild_nested_tensor", SC_PK_ROLE_NESTED},
    {"torch._utils", "_rebuild_meta_tensor_no_storage", SC_PK_ROLE_META},
    {"torch._utils", "_rebuild_wrapper_subclass", SC_PK_ROLE_WRAPPER},
    {"torch._utils", "_rebuild_device_tensor_from_cpu_tensor", SC_PK_ROLE_COPY},
    {"torch._utils", "_rebuild_device_tensor_from_numpy", SC_PK_ROLE_NONE},
    {"torch._utils", "_rebuild_xla_tensor", SC_PK_ROLE_NONE},
    {"torch._tensor", "_rebuild_from_type_v2", SC_PK_ROLE_FROM_TYPE},
    {"torch._tensor", "_rebuild_from_type", SC_PK_ROLE_FROM_TYPE},
    {"torch.tensor", "_rebuild_from_type", SC_PK_ROLE_FROM_TYPE},
    {"torch.nn.parameter", "Parameter", SC_PK_ROLE_TENSOR_CLASS},
    {"torch.nn.parameter", "Buffer", SC_PK_ROLE_TENSOR_CLASS},
    {"torch.nn", "Parameter", SC_PK_ROLE_TENSOR_CLASS},
    {"torch.autograd.variable", "Variable", SC_PK_ROLE_TENSOR_CLASS},
    {"torch", "Tensor", SC_PK_ROLE_NONE},
    {"torch", "Size", SC_PK_ROLE_SIZE},
    {"torch", "device", SC_PK_ROLE_NONE},
    {"torch", "Generator", SC_PK_ROLE_NONE},
    {"torch", "per_tensor_affine", SC_PK_ROLE_NONE},
    {"torch", "per_tensor_symmetric", SC_PK_ROLE_NONE},
    {"torch", "per_channel_affine", SC_PK_ROLE_NONE},
    {"torch", "per_channel_symmetric", SC_PK_ROLE_NONE},
    {"torch", "per_channel_affine_float_qparams", SC_PK_ROLE_NONE},
    {"torch.serialization", "_get_layout", SC_PK_ROLE_NONE},
    {"torch.jit._pickle", "build_intlist", SC_PK_ROLE_THROUGH},
    {"torch.jit._pickle", "build_tensorlist", SC_PK_ROLE_THROUGH},
    {"torch.jit._pickle", "build_doublelist", SC_PK_ROLE_THROUGH},
    {"torch.jit._pickle", "build_boollist", SC_PK_ROLE_THROUGH},
    {"torch.jit._pickle", "restore_type_tag", SC_PK_ROLE_THROUGH},
    {"torch.jit._pickle", "build_tensor_from_id", SC_PK_ROLE_NONE},
    {"torch.nn.backends.thnn", "_get_thnn_function_backend", SC_PK_ROLE_NONE},
    {"torch.utils.hooks", "RemovableHandle", SC_PK_ROLE_NONE},
    {"collections", "OrderedDict", SC_PK_ROLE_ORDERED_DICT},
    {"collections", "defaultdict", SC_PK_ROLE_NONE},
    {"collections", "Counter", SC_PK_ROLE_NONE},
    {"collections", "deque", SC_PK_ROLE_NONE},
    {"_io", "BytesIO", SC_PK_ROLE_NONE},
    {"_io", "StringIO", SC_PK_ROLE_NONE},
    {"_codecs", "encode", SC_PK_ROLE_ENCODE},
    {"copyreg", "__newobj__", SC_PK_ROLE_NEWOBJ},
    {"copy_reg", "__newobj__", SC_PK_ROLE_NEWOBJ},
    {"copyreg", "_reconstructor", SC_PK_ROLE_RECONSTRUCTOR},
    {"copy_reg", "_reconstructor", SC_PK_ROLE_RECONSTRUCTOR},
    {"numpy", "dtype", SC_PK_ROLE_NONE},
    {"numpy", "ndarray", SC_PK_ROLE_NONE},
    {"numpy.core.multiarray", "_reconstruct", SC_PK_ROLE_ARRAY},
    {"numpy.core.multiarray", "scalar", SC_PK_ROLE_NONE},
    {"numpy._core.multiarray", "_reconstruct", SC_PK_ROLE_ARRAY},
    {"numpy._core.multiarray", "scalar", SC_PK_ROLE_NONE},
    {"numpy.core.numeric", "_frombuffer", SC_PK_ROLE_ARRAY},
    {"numpy._core.numeric", "_frombuffer", SC_PK_ROLE_ARRAY},
    {"numpy.random._pickle", "__randomstate_ctor", SC_PK_ROLE_NONE},
    {"numpy.random._pickle", "__generator_ctor", SC_PK_ROLE_NONE},
    {"numpy.random._pickle", "__bit_generator_ctor", SC_PK_ROLE_NONE},
    {"argparse", "Namespace", SC_PK_ROLE_NONE},
    {"types", "SimpleNamespace", SC_PK_ROLE_NONE},
    {"typing", "Any", SC_PK_ROLE_NONE},
    {"pathlib", "Path", SC_PK_ROLE_NONE},
    {"pathlib", "PosixPath", SC_PK_ROLE_NONE},
    {"pathlib", "WindowsPath", SC_PK_ROLE_NONE},
    {"pathlib", "PurePath", SC_PK_ROLE_NONE},
    {"pathlib", "PurePosixPath", SC_PK_ROLE_NONE},
    {"pathlib", "PureWindowsPath", SC_PK_ROLE_NONE},
    {"pathlib._local", "PosixPath", SC_PK_ROLE_NONE},
    {"pathlib._local", "WindowsPath", SC_PK_ROLE_NONE},
    {"pathlib._local", "PurePosixPath", SC_PK_ROLE_NONE},
    {"pathlib._local", "PureWindowsPath", SC_PK_ROLE_NONE},
    {"datetime", "datetime", SC_PK_ROLE_NONE},
    {"datetime", "date", SC_PK_ROLE_NONE},
    {"datetime", "time", SC_PK_ROLE_NONE},
    {"datetime", "timedelta", SC_PK_ROLE_NONE},
    {"datetime", "timezone", SC_PK_ROLE_NONE},
    {"decimal", "Decimal", SC_PK_ROLE_NONE},
    {"fractions", "Fraction", SC_PK_ROLE_NONE},
    {"uuid", "UUID", SC_PK_ROLE_NONE},
    {"uuid", "SafeUUID", SC_PK_ROLE_NONE},
};

/* The harmless part of Python 3's builtins and of Python 2's __builtin__. */
static const char *const plain_builtins[] = {
    "bool",    "bytearray", "bytes",    "complex",        "dict", "float", "frozenset", "int",
    "list",    "long",      "object",   "range",          "set",  "slice", "str",       "tuple",
    "unicode", "xrange",    "Ellipsis", "NotImplemented",
};

/* Packages in which nothing is harmless but what is known; "x" covers "x.y" too. */
static const char *const system_packages[] = {
    "os",      "subprocess", "ctypes",   "cffi",   "multiprocessing", "concurrent",
    "asyncio", "shutil",     "tempfile", "sys",    "pathlib",         "zipfile",
    "tarfile", "psutil",     "pexpect",  "fabric", "invoke",          "plumbum",
};
static const char *const code_packages[] = {
    "runpy",
    "importlib",
    "pkgutil",
    "zipimport",
    "pip",
    "ensurepip",
    "venv",
    "setuptools",
    "distutils",
    "pkg_resources",
    "unittest",
    "idlelib",
    "lib2to3",
    "pydoc",
    "_pyrepl",
    "IPython",
    "jinja2",
    "cython",
    "Cython",
    "turtledemo",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "numba",
    "transformers.pipelines",
    "transformers.dynamic_module_utils",
    "transformers.agents",
    "transformers.tools",
};
static const char *const pickle_packages[] = {
    "pickle", "_pickle",     "cPickle", "marshal",    "shelve", "dbm",
    "dill",   "cloudpickle", "joblib",  "jsonpickle", "yaml",
};
static const char *const network_packages[] = {
    "socket",     "_socket",  "socketserver", "SocketServer", "ssl",       "urllib",  "urllib2",
    "urllib3",    "requests", "httpx",        "aiohttp",      "http",      "httplib", "ftplib",
    "smtplib",    "imaplib",  "poplib",       "nntplib",      "telnetlib", "xmlrpc",  "xmlrpclib",
    "webbrowser", "paramiko", "boto3",        "fsspec",       "sqlite3",
};
static const char *const library_packages[] = {
    "torch.hub",
    "torch.package",
    "torch.utils.cpp_extension",
    "torch.utils.collect_env",
    "torch.utils.bottleneck",
    "torch.utils.model_zoo",
    "torch.multiprocessing",
    "torch._dynamo",
    "torch._inductor",
    "torch.testing",
    "torch.fx",
    "torch.distributed.rpc",
    "torch.jit.frontend",
    "torch.distributed.elastic",
    "torch.distributed.launcher",
    "torch.utils._config_module",
    "torch.utils.data.datapipes",
    "torch.jit.unsupported_tensor_ops",
    "torch.export",
    "torch._export",
    "torch.onnx",
    "torch.utils.show_pickle",
    "torch.utils.file_baton",
    "numpy.testing",
    "numpy.f2py",
    "numpy.distutils",
    "numpy.lib",
    "numpy.ctypeslib",
    "scipy.weave",
    "pandas.io",
    "logging.config",
    "tensorflow.io",
    "nltk",
};
/* Single files of the standard library: people have packages of these names, so only the module
 * itself counts. */
static const char *const single_modules[] = {
    "posix",
    "nt",
    "posixpath",
    "ntpath",
    "_posixsubprocess",
    "popen2",
    "commands",
    "signal",
    "fileinput",
    "glob",
    "pty",
    "tty",
    "fcntl",
    "mmap",
    "resource",
    "_ctypes",
    "_multiprocessing",
    "threading",
    "_thread",
    "thread",
    "sched",
    "atexit",
    "gc",
    "inspect",
    "site",
    "platform",
    "winreg",
    "_winreg",
    "msvcrt",
    "imp",
    "code",
    "codeop",
    "pdb",
    "bdb",
    "cmd",
    "trace",
    "timeit",
    "profile",
    "cProfile",
    "doctest",
    "compileall",
    "py_compile",
    "linecache",
    "_osx_support",
    "_aix_support",
    "pickletools",
    "anydbm",
    "select",
    "SimpleHTTPServer",
    "BaseHTTPServer",
    "antigravity",
    "this",
    "_imp",
    "_io",
    "aifc",
    "sunau",
    "sndhdr",
    "imghdr",
    "cgi",
    "cgitb",
    "mailcap",
    "netrc",
    "uuid",
    "gzip",
    "bz2",
    "lzma",
    "zipapp",
    "filecmp",
    "crypt",
    "pipes",
    "nturl2path",
    "tokenize",
    "tabnanny",
    "symtable",
    "modulefinder",
    "pyclbr",
    "rlcompleter",
    "readline",
    "faulthandler",
    "tracemalloc",
    "mailbox",
    "asyncore",
    "asynchat",
    "smtpd",
    "syslog",
    "termios",
    "curses",
    "tkinter",
    "Tkinter",
};

static const struct {
    const char *const *list;
    size_t n;
} dangerous_packages[] = {
    {system_packages, SC_COUNT(system_packages)},   {code_packages, SC_COUNT(code_packages)},
    {pickle_packages, SC_COUNT(pickle_packages)},   {network_packages, SC_COUNT(network_packages)},
    {library_packages, SC_COUNT(library_packages)},
};

static const struct {
    const char *module, *name;
} dangerous_names[] = {
    {"torch", "load"},
    {"torch", "save"},
    {"torch", "from_file"},
    {"torch", "compile"},
    {"torch.serialization", "save"},
    {"torch.serialization", "load"},
    {"torch.serialization", "_load"},
    {"torch.serialization", "_legacy_load"},
    {"torch.storage", "_load_from_bytes"}, /* a pickle within the pickle */
    {"torch.jit", "load"},
    {"torch.jit._serialization", "load"},
    {"torch.jit._script", "script"},
    {"torch._utils", "_import_dotted_name"},
    {"torch.utils._import_utils", "_check_module_exists"},
    {"numpy", "load"},
    {"numpy", "loads"},
    {"numpy", "save"},
    {"numpy", "savez"},
    {"numpy", "savez_compressed"},
    {"numpy", "apply_along_axis"},
    {"numpy", "apply_over_axes"},
    {"numpy", "frompyfunc"},
    {"numpy", "fromfunction"},
    {"numpy", "piecewise"},
    {"numpy", "loadtxt"},
    {"numpy", "savetxt"},
    {"numpy", "fromfile"},
    {"numpy", "memmap"},
    {"numpy", "genfromtxt"},
    {"numpy", "fromregex"},
    {"numpy", "vectorize"},
    {"pandas", "read_pickle"},
    {"pandas", "eval"},
    {"keras.models", "load_model"},
    {"transformers", "pipeline"},
    {"transformers", "load_tool"},
    {"functools", "reduce"},
    {"_functools", "reduce"},
    {"itertools", "starmap"},
    {"itertools", "accumulate"},
    {"itertools", "takewhile"},
    {"itertools", "dropwhile"},
    {"itertools", "filterfalse"},
    {"itertools", "groupby"},
    {"operator", "attrgetter"},
    {"operator", "call"},
    {"_operator", "call"},
    {"operator", "methodcaller"},
    {"_operator", "attrgetter"},
    {"_operator", "methodcaller"},
    {"types", "FunctionType"},
    {"types", "LambdaType"},
    {"types", "CodeType"},
    {"types", "MethodType"},
    {"types", "ModuleType"},
    {"new", "function"},
    {"new", "code"},
    {"new", "classobj"},
    {"io", "open"},
    {"io", "open_code"},
    {"io", "FileIO"},
    {"codecs", "open"},
    {"copyreg", "add_extension"},
    {"copyreg", "pickle"},
    {"logging", "FileHandler"},
};

/* Functions that every module can reach, by any road. Names in two underscores count too. */
static const char *const dangerous_words[] = {
    "eval",          "exec",         "execfile",    "getattr",         "setattr",
    "delattr",       "system",       "popen",       "spawn",           "fork",
    "execv",         "execve",       "Popen",       "check_call",      "check_output",
    "import_module", "resolve_name", "load_module", "run_module",      "run_path",
    "breakpoint",    "load_library", "execWrapper", "from_pretrained", "unlink",
    "write_text",    "write_bytes",  "extractall",  "create_dynamic",
};
/* Of the builtins these too; elsewhere the words are harmless. */
static const char *const dangerous_builtins[] = {
    "compile", "open",   "input",      "raw_input", "apply", "globals", "locals",
    "vars",    "file",   "memoryview", "help",      "exit",  "quit",    "reload",
    "map",     "filter", "reduce",     "type",      "super",
};

static const char *const other_dtypes[] = {
    "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2", "uint1", "uint2", "uint3", "uint4", "uint5",
    "uint6", "uint7",  "int1",    "int2",    "int3",    "int4",  "int5",  "int6",  "int7",
};

static bool among(struct sc_str s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sc_str_is(s, list[i]))
            return true;
    return false;
}
#define AMONG(s, list) among(s, list, SC_COUNT(list))

/* module is `root` or something inside of it. */
static bool within(struct sc_str module, const char *root)
{
    const size_t n = strlen(root);
    return sc_str_starts(module, root) && (module.n == n || module.p[n] == '.');
}

/* Class names of these packages are plain data holders: SGD, Linear, StepLR. Functions that live
 * beside them, and modules that they import, begin in lower case. */
static bool is_torch_class(struct sc_str module, struct sc_str name)
{
    static const char *const packages[] = {"torch.nn.modules", "torch.nn.quantized", "torch.ao.nn",
                                           "torch.optim"};
    if (name.n == 0 || !isupper((unsigned char)name.p[0]))
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (!isalnum((unsigned char)name.p[i]) && name.p[i] != '_')
            return false;
    for (size_t i = 0; i < SC_COUNT(packages); i++)
        if (within(module, packages[i]))
            return true;
    return false;
}

/* torch.FloatTensor and torch.cuda.HalfTensor: the classes of old files. */
static bool is_tensor_class(struct sc_str module, struct sc_str name)
{
    return (sc_str_is(module, "torch") || sc_str_is(module, "torch.cuda")) &&
           sc_str_ends(name, "Tensor") && !memchr(name.p, '.', name.n);
}

static bool is_storage_class(struct sc_str module, struct sc_str name)
{
    return (sc_str_is(module, "torch") || sc_str_is(module, "torch.cuda") ||
            sc_str_is(module, "torch.storage")) &&
           sc_str_ends(name, "Storage") && !memchr(name.p, '.', name.n);
}

static bool is_builtins(struct sc_str module)
{
    return sc_str_is(module, "builtins") || sc_str_is(module, "__builtin__");
}

/* numpy.float32, numpy.bool_, numpy.str_. */
static bool is_numpy_scalar(struct sc_str name)
{
    static const char *const scalars[] = {"bool", "int",   "uint", "float",    "complex",
                                          "str",  "bytes", "void", "longlong", "longdouble"};
    while (name.n > 0 && (isdigit((unsigned char)name.p[name.n - 1]) || name.p[name.n - 1] == '_'))
        name.n--;
    return AMONG(name, scalars);
}

static bool is_known(struct sc_str module, struct sc_str name, enum sc_pk_role *role)
{
    for (size_t i = 0; i < SC_COUNT(known); i++) {
        if (sc_str_is(name, known[i].name) && sc_str_is(module, known[i].module)) {
            *role = (enum sc_pk_role)known[i].role;
            return true;
        }
    }
    if (is_storage_class(module, name)) {
        *role = SC_PK_ROLE_STORAGE;
        return true;
    }
    if (sc_str_is(module, "torch") &&
        (sc_codec_torch_dtype(name) != SC_OPAQUE || AMONG(name, other_dtypes))) {
        *role = SC_PK_ROLE_DTYPE;
        return true;
    }
    if (is_builtins(module))
        return AMONG(name, plain_builtins);
    if (sc_str_is(module, "numpy"))
        return is_numpy_scalar(name);
    if (sc_str_is(module, "numpy.dtypes"))
        return sc_str_ends(name, "DType") && !memchr(name.p, '.', name.n);
    /* Classes of TorchScript: Python cannot import them, and their code is not ours to run. */
    return within(module, "__torch__") || is_tensor_class(module, name) ||
           is_torch_class(module, name);
}

static bool is_dangerous_module(struct sc_str module)
{
    for (size_t k = 0; k < SC_COUNT(dangerous_packages); k++)
        for (size_t i = 0; i < dangerous_packages[k].n; i++)
            if (within(module, dangerous_packages[k].list[i]))
                return true;
    return AMONG(module, single_modules);
}

/* Protocol 4 follows the dots of a name: "torch" + "serialization.os.system". */
static bool has_dangerous_part(struct sc_str name)
{
    const bool dotted = memchr(name.p, '.', name.n) != NULL;
    for (size_t i = 0; i <= name.n;) {
        const char *dot = i < name.n ? memchr(name.p + i, '.', name.n - i) : NULL;
        const size_t end = dot ? (size_t)(dot - name.p) : name.n;
        const struct sc_str part = sc_str(name.p + i, end - i);
        if (AMONG(part, dangerous_words) || sc_str_starts(part, "__") ||
            (dotted && is_dangerous_module(part)))
            return true;
        i = end + 1;
    }
    return false;
}

static bool is_dangerous(struct sc_str module, struct sc_str name)
{
    for (size_t i = 0; i < SC_COUNT(dangerous_names); i++)
        if (sc_str_is(name, dangerous_names[i].name) &&
            sc_str_is(module, dangerous_names[i].module))
            return true;
    if (is_builtins(module) && AMONG(name, dangerous_builtins))
        return true;
    return is_dangerous_module(module) || has_dangerous_part(name);
}

enum sc_verdict sc_pk_judge(struct sc_str module, struct sc_str name, enum sc_pk_role *role)
{
    *role = SC_PK_ROLE_NONE;
    if (is_known(module, name, role))
        return SC_VERDICT_KNOWN;
    return is_dangerous(module, name) ? SC_VERDICT_DANGER : SC_VERDICT_UNKNOWN;
}
