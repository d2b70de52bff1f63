// Every limit on what comes from outside, with its reason. docs/limits.md lists them for users; a test
// keeps the two alike. A limit is checked before memory is taken.
#ifndef EYESHOT_BASE_LIMITS_H_
#define EYESHOT_BASE_LIMITS_H_

#include <cstddef>
#include <cstdint>

namespace eyeshot::limits {

// --- Model files ---------------------------------------------------------------------------------
// safetensors itself allows headers of 100 MB; the largest known VLM header is below 1 MB.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 32ull << 20;
// SmolVLM-2.2B has 657 tensors, the largest LLaVA about 1,000.
inline constexpr size_t kMaxTensors = 16384;
// Tensors of vision-language models have at most 5 dimensions (a video patch convolution).
inline constexpr size_t kMaxTensorDims = 8;
// Longest name seen: 86 bytes.
inline constexpr size_t kMaxTensorNameBytes = 1024;
// A dimension: vocabularies are below 2^20; 2^31 leaves room and keeps products of two within 64 bits.
inline constexpr uint64_t kMaxTensorDim = 1ull << 31;
// One tensor: an embedding of a 7B model in float32 is 2.2 GB.
inline constexpr uint64_t kMaxTensorBytes = 64ull << 30;
// Shards of one checkpoint.
inline constexpr size_t kMaxShards = 1024;
// Keys of a GGUF file's metadata: llama.cpp's converter writes about 50.
inline constexpr size_t kMaxGgufKeys = 4096;
// Length of such a key; the format allows 65,535.
inline constexpr size_t kMaxGgufKeyBytes = 256;
// Arrays of arrays in metadata: nothing published has any.
inline constexpr int kMaxGgufArrayDepth = 4;
// config.json, preprocessor_config.json, index files: the largest seen is 71 KB.
inline constexpr uint64_t kMaxConfigBytes = 16ull << 20;
// tokenizer.json: SmolVLM 3.5 MB, the largest known about 35 MB.
inline constexpr uint64_t kMaxTokenizerBytes = 128ull << 20;
// Nesting of JSON files: real ones stay below 10.
inline constexpr int kMaxJsonDepth = 64;
// Values of one JSON tree (vocabularies and tensor headers are read without one): an index of the most shards has one
// a tensor; 2^20 small values take about 64 MB.
inline constexpr size_t kMaxJsonValues = 1u << 20;
// Entries of a vocabulary or of a merge list: the largest known is 262,144.
inline constexpr size_t kMaxVocabulary = 1u << 20;
inline constexpr size_t kMaxMerges = 1u << 20;
// Bytes of one token's text.
inline constexpr size_t kMaxTokenBytes = 4096;
// Tokens that a tokenizer puts before every prompt: Llama's has one.
inline constexpr size_t kMaxPrefixTokens = 16;

// A chat template: the largest known, with tools, has about 20 KB.
inline constexpr size_t kMaxTemplateBytes = 256u << 10;
// Texts, tags, operators and values of one: a template of 20 KB has about 2,000.
inline constexpr size_t kMaxTemplateNodes = 1u << 16;
// Nesting of its blocks, expressions and values, which are walked by calls that call themselves; real ones stay
// below 20.
inline constexpr int kMaxTemplateDepth = 200;
// Evaluations, and 16 bytes of text each, while it runs: a hundred times what the longest conversation of pictures
// takes.
inline constexpr uint64_t kMaxTemplateSteps = 1u << 22;

// --- Model shapes --------------------------------------------------------------------------------
inline constexpr int64_t kMaxLayers = 256;
inline constexpr int64_t kMaxWidth = 65536;       // hidden or MLP width; SmolVLM-2.2B: 8,192
inline constexpr int64_t kMaxHeads = 512;
inline constexpr int64_t kMaxHeadDim = 256;
inline constexpr int64_t kMaxContext = 1 << 20;   // positions; SmolVLM: 8,192 or 16,384
inline constexpr int64_t kMaxTileSide = 4096;     // pixels of a tile's side; SmolVLM: 512
inline constexpr int64_t kMaxPatchSize = 128;
inline constexpr int64_t kMaxScaleFactor = 16;    // pixel shuffle; SmolVLM: 3 or 4
inline constexpr int64_t kMaxLongestEdge = 4096;  // Idefics3's own cap on the resized picture

// --- Pictures ------------------------------------------------------------------------------------
// An encoded picture: a 100-megapixel camera writes about 60 MB of JPEG.
inline constexpr uint64_t kMaxImageBytes = 256ull << 20;
// Decoded pixels: 179 megapixels is where Pillow calls a picture a decompression bomb (2 x 89,478,485).
inline constexpr uint64_t kMaxImagePixels = 178'956'970;
// One side: JPEG allows no more.
inline constexpr uint32_t kMaxImageSide = 65535;
// width/height or its inverse: above it a side vanishes when the other becomes 2,048.
inline constexpr uint32_t kMaxAspectRatio = 65535;
// Scans of a progressive JPEG, each a walk over all coefficients: encoders write about 10.
inline constexpr int kMaxJpegScans = 500;
// A PNG chunk other than the pixels, unpacked: XMP of large edited photographs reaches some megabytes.
inline constexpr size_t kMaxPngChunkBytes = 32u << 20;

// --- Videos --------------------------------------------------------------------------------------
// A video file, which is read in pieces: an hour of 4K at 50 Mbit/s is 23 GB.
inline constexpr uint64_t kMaxVideoBytes = 64ull << 30;
// Pixels of a frame: 8K UHD has 33 million.
inline constexpr uint64_t kMaxVideoPixels = 36'000'000;
// Streams of a file (video, sound, subtitles): discs have about 50.
inline constexpr int kMaxVideoStreams = 64;
// Frames of a video: 24 hours at 60 frames a second are 5.2 million, and each takes 16 bytes while it is read.
inline constexpr size_t kMaxVideoFrames = 8'000'000;
// Length of a video: a day, above which a clock of hours is of no use.
inline constexpr int64_t kMaxVideoSeconds = 86'400;
// Bytes read to find out what the streams are: FFmpeg's own value.
inline constexpr int64_t kMaxVideoProbeBytes = 5'000'000;
// One block of memory that FFmpeg may take: an 8K frame with 16 bits a sample is 200 MB.
inline constexpr size_t kMaxVideoAllocation = 256u << 20;
// Bytes of a text that lists frames: 100,000 lines of 160 bytes.
inline constexpr uint64_t kMaxFrameListBytes = 16u << 20;
// Pictures of a folder or list of frames, before it is known which of them are taken.
inline constexpr size_t kMaxFrameListEntries = 100'000;

// --- Requests ------------------------------------------------------------------------------------
inline constexpr size_t kMaxImagesPerPrompt = 256;   // 64 visual tokens each fill a 16k context
inline constexpr size_t kMaxFramesPerPrompt = 512;
inline constexpr size_t kMaxTilesPerImage = 65;      // 8 x 8 and the global view
inline constexpr int kMaxDetailTiles = 6;            // a side: SmolVLM's vocabulary has markers for so many
inline constexpr size_t kMaxPromptBytes = 4u << 20;  // far beyond the longest context
inline constexpr size_t kMaxTurns = 1024;

// --- Answers -------------------------------------------------------------------------------------
// DocTags of one answer: a dense page has about 20 KB.
inline constexpr size_t kMaxDocTagsBytes = 1u << 20;
// Places of one table, row by row: the largest known have some thousands.
inline constexpr size_t kMaxDocTagsCells = 1u << 18;
// The document that DocTags become: a cell that spans stands in each of its places.
inline constexpr size_t kMaxDocumentBytes = 16u << 20;

// --- Reduction of visual tokens ------------------------------------------------------------------
// Tokens of a tile that may be asked for: SmolVLM's tiles have 81 at most, and 1,024 patches.
inline constexpr uint32_t kMaxKeptTokens = 1u << 20;

// --- Model hub -----------------------------------------------------------------------------------
// What a hub says about a repository: a file takes about 300 bytes of it.
inline constexpr uint64_t kMaxHubListBytes = 8ull << 20;
// Files of a repository: models have below 100, those with every quantization below 300.
inline constexpr size_t kMaxHubFiles = 10'000;
// One file: as kMaxTensorBytes; the hub itself asks for less than 50 GB.
inline constexpr uint64_t kMaxHubFileBytes = 64ull << 30;
// A path in a repository, and one name: what file systems take is 255 bytes a name.
inline constexpr size_t kMaxHubPathBytes = 1024;
inline constexpr size_t kMaxHubFileNameBytes = 240;
// An owner's or a model's name: the hub's own limit.
inline constexpr size_t kMaxHubNameBytes = 96;
// Redirects of one request: the hub needs two.
inline constexpr int kMaxHubRedirects = 8;
// An access token: the hub's have 37 bytes.
inline constexpr size_t kMaxHubTokenBytes = 4096;
// Snapshots that are looked at in a cache.
inline constexpr size_t kMaxCachedModels = 4096;

// --- Question sets -------------------------------------------------------------------------------
// A file of questions, which is mapped: DocVQA's with its pictures is 3 GB, the largest of VLMEvalKit about 40 GB.
inline constexpr uint64_t kMaxQuestionSetBytes = 64ull << 30;
// Questions of one: the largest have about 200,000.
inline constexpr size_t kMaxQuestions = 1u << 20;
// Columns of a table: VLMEvalKit's have about 20.
inline constexpr size_t kMaxSetColumns = 256;
// Texts of one question, or one line of JSON: logged answers with all their metrics take some KB. Pictures in base64
// are bound by kMaxImageBytes.
inline constexpr size_t kMaxQuestionBytes = 4u << 20;
// True answers of one question: VQA has ten people's, InfoVQA up to 13.
inline constexpr size_t kMaxTrueAnswers = 256;
// Records of one file of results, a line each: a sweep of 100 points over 10,000 questions.
inline constexpr size_t kMaxEvalRecords = 1u << 20;
// Such a file: about 1 KB a record.
inline constexpr uint64_t kMaxEvalFileBytes = 4ull << 30;
// A file of another engine's answers by id: 1 KB each of kMaxQuestions.
inline constexpr uint64_t kMaxAnswersBytes = 1ull << 30;
// Points of a sweep: each asks the whole set.
inline constexpr size_t kMaxSweepPoints = 1024;

// --- Reference dumps -----------------------------------------------------------------------------
// Pictures and questions of one dump: each takes seconds to compare.
inline constexpr size_t kMaxDumpCases = 64;
// Rows, positions or tokens that a dump keeps of one output: 16 are enough to tell where steps part.
inline constexpr size_t kMaxDumpRows = 65536;
// One tensor of a dump: so many rows of 1,024 values.
inline constexpr uint64_t kMaxDumpTensorBytes = 256ull << 20;

// --- Simulation ----------------------------------------------------------------------------------
// A machine's description: 21 figures with their sources take 4 KB.
inline constexpr uint64_t kMaxMachineBytes = 1u << 20;
// Rows of a file of measured stages: ten inputs of a hundred models.
inline constexpr size_t kMaxMeasuredRows = 1000;
// Classes of operations that a calibrated machine has figures for: there are about 30.
inline constexpr size_t kMaxSpeedClasses = 256;
// Sizes of models, or numbers of visual tokens, of a grid that a scaling law is fitted to: the published one has 7.
inline constexpr size_t kMaxLawSizes = 64;
// Measured points that a plan takes: a sweep of 5 models over 4 precisions, 6 details and 20 reducers has 2,400.
inline constexpr size_t kMaxPlanPoints = 100'000;
// A file of them: 200 bytes a point.
inline constexpr uint64_t kMaxPlanPointsBytes = 32u << 20;
// Ways to run a request that one plan compares: each takes about 20 us.
inline constexpr size_t kMaxPlanCandidates = 100'000;
// Arrivals of a trace, from a file or drawn: a day at ten a second is 864,000.
inline constexpr size_t kMaxArrivals = 1'000'000;
// A file of them: 32 bytes a line.
inline constexpr uint64_t kMaxArrivalFileBytes = 32u << 20;
// Rows of a grid's intensity or a tariff: two years of five minutes are 210,240. 64 bytes a row.
inline constexpr size_t kMaxRateRows = 250'000;
inline constexpr uint64_t kMaxRateFileBytes = 16u << 20;

// --- Energy meters -------------------------------------------------------------------------------
// A file of sysfs or procfs: the kernel writes at most a page of attributes; of /proc/stat the first line is wanted.
inline constexpr size_t kMaxSysfsBytes = 4096;
// Counters of a folder, or processors of a list: the largest machines have 16 packages of 5 counters, and 8,192
// processors, of which a list names one a package.
inline constexpr size_t kMaxSysfsEntries = 1024;
// The most power that a counter may show before it is taken for reset or broken: a whole node with 8 GPUs peaks at
// about 10 kW, a package or GPU below 2 kW.
inline constexpr double kMaxCounterWatts = 20000;
// Samples of one meter: 22 minutes at 20 ms; then every second one is dropped. 16 bytes each.
inline constexpr size_t kMaxEnergySamples = 65536;
// Runs of stages that one ledger keeps: 24 bytes each; an answer of 1,000 tokens has about 2,000.
inline constexpr size_t kMaxStageRuns = 262144;

// --- Clocks --------------------------------------------------------------------------------------
// Clocks that a GPU or processor names: an H100 has 110 in steps of 15 MHz, a processor from 0.4 to 6 GHz 57 in steps
// of 100.
inline constexpr size_t kMaxClocks = 1024;
// The file that says what clocks were before a run: 200 bytes each, of 256 policies.
inline constexpr uint64_t kMaxLeaseBytes = 1u << 20;
// A profile of `eyeshot tune`: 200 bytes for each of 3 stages at each clock.
inline constexpr uint64_t kMaxProfileBytes = 1u << 20;

// --- Server --------------------------------------------------------------------------------------
// Line and headers of a request: clients send below 2 KB, proxies some more.
inline constexpr uint32_t kMaxHeaderBytes = 16u << 10;
// A request's body, unless --max-body says otherwise: base64 makes of a 40 MB video 54 MB.
inline constexpr uint64_t kMaxBodyBytes = 64ull << 20;
// What --max-body may say.
inline constexpr uint64_t kMaxBodyBytesOption = 1ull << 30;
// Bodies of all requests together that were not read to their end or not looked at yet: 8 of the largest.
inline constexpr uint64_t kMaxBodiesBytes = 512ull << 20;
// JSON values of a body: a conversation of 1,024 turns with 256 pictures has below 10,000.
inline constexpr size_t kMaxBodyValues = 1u << 16;
// Pixels of a picture in a request, unless --max-pixels says otherwise: a 50 megapixel camera's, 150 MB of RGB; the
// models see at most 4 million of them.
inline constexpr uint64_t kMaxRequestPixels = 50'000'000;
// Decoded pictures and frames of all requests that wait or run, together.
inline constexpr uint64_t kMaxMediaBytes = 1ull << 30;
// Frames of a video in a request: an hour at 30 a second; all of them may have to be decoded.
inline constexpr size_t kMaxRequestVideoFrames = 108'000;
// Connections at a time: clients that keep one open each; a connection takes about 20 KB.
inline constexpr int kMaxConnections = 1024;
// Of them from one address other than loopback: browsers open 6, benchmarks 64.
inline constexpr int kMaxConnectionsPerAddress = 256;
// Requests of one client that wait or run.
inline constexpr int kMaxRequestsPerClient = 64;
// Requests whose body waits to be looked at, before the scheduler's queue.
inline constexpr size_t kMaxPendingBodies = 256;
// Of an answer, what the client has not taken yet; then it is cut off. The longest answer's events have about 2 MB.
inline constexpr size_t kMaxUnsentBytes = 4u << 20;
// Text between the decoding thread and the connection's: some hundred tokens, which the latter takes at once.
inline constexpr size_t kAnswerPipeBytes = 32u << 10;
// Seconds without an answer to wait for: for a whole header, for a body at 64 KB/s and so long, for a client that does
// not read, and for the next request of a kept connection.
inline constexpr int kHeaderSeconds = 15;
inline constexpr int kBodySeconds = 30;
inline constexpr int kWriteSeconds = 30;
inline constexpr int kIdleSeconds = 75;
inline constexpr uint64_t kMinBodyBytesPerSecond = 64u << 10;
// Stop strings of a request: OpenAI's limit is 4.
inline constexpr size_t kMaxStops = 16;
inline constexpr size_t kMaxStopBytes = 1024;
// A file of API keys, and one key.
inline constexpr uint64_t kMaxKeyFileBytes = 1u << 20;
inline constexpr size_t kMaxKeyBytes = 512;
// Seconds that a picture or video of another server may take.
inline constexpr int kFetchSeconds = 20;
// Lines of a batch's input: OpenAI takes 50,000; each takes about 150 bytes of memory while the batch runs.
inline constexpr int64_t kMaxBatchLines = 1'000'000;
// A line's custom_id: it names the answer, and all are held in memory.
inline constexpr size_t kMaxCustomIdBytes = 256;
// What a line has beside its body: custom_id, method, url.
inline constexpr uint64_t kMaxBatchEnvelopeBytes = 4096;

// --- Runtime -------------------------------------------------------------------------------------
inline constexpr int kMaxThreads = 256;
// Answers that are decoded side by side: a step reads all weights once for all of them, and from here on its arithmetic
// takes longer than that on every machine.
inline constexpr int kMaxSequences = 256;
// Of a phase of decoding, in which pictures and prompts gather: who waits longer thinks that nobody answers.
inline constexpr double kMaxPhaseSeconds = 60;
// Requests that wait: each may hold pictures of megabytes.
inline constexpr size_t kMaxQueue = 10000;
// Tokens of a key/value cache that answers share: 256 contexts of 16,384.
inline constexpr int64_t kMaxCacheTokens = 4'194'304;

}  // namespace eyeshot::limits

#endif  // EYESHOT_BASE_LIMITS_H_
