#include "cli/model_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/program_files.h"
#include "cli/progress.h"
#include "eval/text_distance.h"
#include "formats/gguf_model.h"
#include "hub/cache.h"
#include "hub/known_models.h"
#include "hub/settings.h"
#include "models/model_source.h"

namespace eyeshot::cli {
namespace {

constexpr const char* kBuiltIn = "models/eyeshot-tiny";

bool IsModelFolder(const std::filesystem::path& dir) { return FileExists((dir / "config.json").string()); }

// Other programs take single files of a repository.
bool HasModelFiles(const std::filesystem::path& dir) { return IsModelFolder(dir) || IsGgufModel(dir.string()); }

// `name` has the form of a hub's name and is no folder.
Result<FoundModel> FindInCache(const std::string& name, const std::string& where) {
  EYESHOT_ASSIGN_OR_RETURN(const Repository repository, ParseRepository(name));
  EYESHOT_ASSIGN_OR_RETURN(const HubSettings settings, HubSettingsFromEnvironment());
  const auto dir = FindSnapshot(settings.cache, repository);
  if (dir && !HasModelFiles(*dir)) {
    return NotFoundError(fmt::format("{} names '{}', of which the cache has only some files ({})", where, name, *dir),
                         fmt::format("download the rest with `eyeshot pull {}`", name));
  }
  if (dir) return FoundModel{*dir, false, repository.id()};
  const std::string near = NearestKnownModel(repository.id());
  const std::string meant = near.empty() || near == repository.id() ? "" : fmt::format("did you mean {}? Else ", near);
  return NotFoundError(fmt::format("{} names '{}', which is neither a folder nor in the cache of models ({})", where,
                                   name, settings.cache),
                       fmt::format("{}download it with `eyeshot pull {}`", meant, name));
}

}  // namespace

Result<FoundModel> FindBuiltIn() {
  const Result<std::string> found =
      FindBesideProgram(kBuiltIn, kBuiltIn, [](const std::filesystem::path& path) { return IsModelFolder(path); });
  if (found.ok()) return FoundModel{*found, true, ""};
  return NotFoundError(fmt::format("no model was named, and the built-in one can't be had: {}", found.status().found()),
                       "name a model with --model DIR or EYESHOT_MODEL, or install Eyeshot again");
}

std::string NearestKnownModel(const std::string& id) {
  const std::u32string asked = eval::Normalized(id);
  std::string nearest;
  size_t least = asked.size() / 3 + 1;  // farther ones have little in common
  for (const KnownModel& model : KnownModels()) {
    // Many leave the owner out.
    for (const std::string_view name : {model.id, model.id.substr(model.id.find('/') + 1)}) {
      const size_t distance = eval::EditDistance(asked, eval::Normalized(name));
      if (distance >= least) continue;
      least = distance;
      nearest = model.id;
    }
  }
  return nearest;
}

void AddModelFlag(CLI::App& command, ModelFlags& flags) {
  command
      .add_option(
          "-m,--model", flags.model,
          "A Hugging Face folder, a GGUF file, or the name of a model that `eyeshot pull` has taken; without it "
          "$EYESHOT_MODEL, else the built-in model")
      ->type_name("MODEL");
}

void AddModelFlags(CLI::App& command, ModelFlags& flags) {
  AddModelFlag(command, flags);
  command
      .add_option("--mmproj", flags.mmproj,
                  "The vision tower of a GGUF model; without it the mmproj file beside it; none: text alone")
      ->type_name("FILE");
  command.add_flag("--hf-defaults", flags.hf_defaults,
                   "GGUF: numbers of transformers where the file has guesses of its converter");
  command
      .add_option(
          "--device", flags.device,
          "auto (a GPU where there is one that this build can use, else the CPU), cpu, cuda, or cuda:1 and so on")
      ->type_name("D");
  command
      .add_option("--gpu-memory", flags.gpu_memory, "GPU memory that may be taken, as 750M or 2G; without it all of it")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->type_name("BYTES");
  command.add_option("--backend", flags.backend, "Of a CPU: auto, portable, or reference (slow float32)")
      ->check(CLI::IsMember({"auto", "portable", "reference"}))
      ->type_name("NAME");
  command
      .add_option("--precision", flags.precision,
                  "exact, bf16, int8, q8_0, int4, q4_0, fp8 (on a GPU) or auto; or two of them, for vision tower and "
                  "decoder: int8,q8_0")
      ->type_name("P[,P]");
  command.add_option("--kv-cache", flags.kv_cache, "Precision of the key/value cache: f16 or int8")->type_name("P");
  command.add_flag("--pillow13", flags.pillow13, "Resize pictures in the order of passes of Pillow 13 and later");
  command
      .add_option("--frame-edge", flags.frame_edge,
                  "Pixels of a frame's longer side before it becomes a tile; 0 takes the reference's")
      ->check(CLI::Range(int64_t{0}, limits::kMaxLongestEdge))
      ->type_name("N");
  command.add_option("-t,--threads", flags.threads, "Threads; 0 takes the cores that this process may use")
      ->check(CLI::Range(0, limits::kMaxThreads))
      ->type_name("N");
  command
      .add_option("--decode-threads", flags.decode_threads,
                  "Of them, while an answer is written: as fast with fewer where memory is the limit; 0 takes all")
      ->check(CLI::Range(0, limits::kMaxThreads))
      ->type_name("N");
  command.add_option("--context", flags.context, "Tokens of context to take memory for; 0 takes the model's own")
      ->check(CLI::Range(int64_t{0}, limits::kMaxContext))
      ->type_name("N");
}

Result<FoundModel> FindModel(const std::string& asked) {
  std::string dir = asked;
  std::string where = "--model";
  if (const char* variable = std::getenv("EYESHOT_MODEL"); dir.empty() && variable != nullptr && *variable != '\0') {
    dir = variable;
    where = "EYESHOT_MODEL";
  }
  if (dir.empty()) return FindBuiltIn();
  if (!IsDirectory(dir) && !(FileExists(dir) && IsGgufModel(dir))) {
    if (!FileExists(dir) && LooksLikeRepository(dir)) return FindInCache(dir, where);
    return NotFoundError(fmt::format("{} names '{}', which is {}", where, dir,
                                     FileExists(dir) ? "neither a folder nor a GGUF file" : "not there"),
                         "name a Hugging Face folder with config.json, tokenizer.json and model.safetensors, a .gguf "
                         "file, or a model of "
                         "the hub (`eyeshot models`)");
  }
  return FoundModel{dir, false, ""};
}

Result<std::shared_ptr<Engine>> LoadEngine(const ModelFlags& flags, bool chatty) {
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel found, FindModel(flags.model));
  if (found.built_in && chatty && isatty(STDERR_FILENO) == 1) {
    fmt::print(stderr,
               "The built-in model is a demonstrator of 29 million parameters: it reads short printed text, charts, "
               "shapes and icons,\nnot photographs. For these: eyeshot pull HuggingFaceTB/SmolVLM-256M-Instruct\n");
  }
  Progress progress(chatty);
  EYESHOT_ASSIGN_OR_RETURN(
      std::shared_ptr<Engine> engine,
      Engine::Load({.model = found.dir,
                    .mmproj = flags.mmproj,
                    .hf_defaults = flags.hf_defaults,
                    .name = found.name,
                    .device = flags.device,
                    .gpu_memory = flags.gpu_memory,
                    .backend = flags.backend,
                    .precision = flags.precision,
                    .kv_cache = flags.kv_cache,
                    .frame_edge = flags.frame_edge,
                    .pillow13_resize = flags.pillow13,
                    .threads = flags.threads,
                    .decode_threads = flags.decode_threads,
                    .context_tokens = flags.context,
                    .gpu_readings = flags.gpu_readings,
                    .on_progress = [&progress](double share) { progress.Show("loading", share); }}));
  progress.Clear();
  if (chatty) {
    for (const std::string& note : engine->info().notes) fmt::print(stderr, "note: {}\n", note);
  }
  return engine;
}

Result<ImageProcessorConfig> ProcessorOf(const ModelFlags& flags, const std::string& path) {
  if (!IsGgufModel(path)) return LoadProcessorConfig(path);
  EYESHOT_ASSIGN_OR_RETURN(const ModelSource source, ModelSource::Open(LocationOf(flags, path)));
  if (source.config().has_vision()) return source.Processor();
  return UnsupportedError(fmt::format("{}: reads text alone, and pictures were named", path),
                          "use a SmolVLM, or name its mmproj file with --mmproj");
}

Result<PromptParts> ReadPromptParts(const ModelFlags& flags, const std::string& path,
                                    const ImageProcessorConfig& processing) {
  PromptParts parts;
  parts.tokens_per_tile = processing.image_seq_len;
  const bool gguf = IsGgufModel(path);
  std::optional<ModelSource> source;
  if (gguf || FileExists(JoinPath(path, "config.json"))) {
    EYESHOT_ASSIGN_OR_RETURN(source, ModelSource::Open(LocationOf(flags, path)));
    parts.config = source->config();
    parts.tokens_per_tile = parts.config->visual_tokens_per_tile();
  }
  const bool has_tokenizer =
      gguf || FileExists(JoinPath(path, "tokenizer.json")) || FileExists(JoinPath(path, "vocab.json"));
  if (parts.tokens_per_tile == 0 || !has_tokenizer) return parts;
  if (source) {
    EYESHOT_ASSIGN_OR_RETURN(const Tokenizer tokenizer, source->ReadTokenizer());
    EYESHOT_ASSIGN_OR_RETURN(parts.format, source->ReadPromptFormat(tokenizer));
    return parts;
  }
  EYESHOT_ASSIGN_OR_RETURN(const Tokenizer tokenizer, Tokenizer::Load(path));
  EYESHOT_ASSIGN_OR_RETURN(parts.format, PromptFormat::Load(path, tokenizer, parts.tokens_per_tile));
  return parts;
}

ModelLocation LocationOf(const ModelFlags& flags, const std::string& path) {
  return {.path = path, .mmproj = flags.mmproj, .hf_defaults = flags.hf_defaults};
}

}  // namespace eyeshot::cli
