/* Eyeshot in C (C99 or newer): load a model, hold conversations about pictures.
 *
 *   eyeshot_engine* engine = NULL;
 *   eyeshot_chat* chat = NULL;
 *   eyeshot_answer* answer = NULL;
 *   char* error = NULL;
 *   eyeshot_image picture = {.path = "receipt.png"};
 *   if (eyeshot_load("models/eyeshot-tiny", NULL, &engine, &error) == EYESHOT_OK &&
 *       eyeshot_new_chat(engine, NULL, &chat, &error) == EYESHOT_OK &&
 *       eyeshot_ask(chat, &picture, 1, "What is the total?", NULL, &answer, &error) == EYESHOT_OK) {
 *     puts(answer->text);
 *   }
 *
 * Thread-safety: one engine may be used from several threads at the same time; its chats take turns on its thread
 * pool, so that concurrent eyeshot_ask() calls of different chats are safe and run one after the other. One chat must
 * be used by one thread at a time. Functions without an object are safe from any thread. A chat keeps its engine
 * alive: the two may be freed in either order.
 *
 * Every function that can fail returns a code and, where `error` is not NULL, sets *error to a message that says what
 * was found, which limit or key it met, and what to do (freed by eyeshot_string_free), or to NULL on success. Texts are
 * UTF-8 that ends with a zero byte.
 *
 * Structs of options begin with their size, which the ..._init functions set, so that later versions can add members.
 */
#ifndef EYESHOT_EYESHOT_H_
#define EYESHOT_EYESHOT_H_

#include <stddef.h>
#include <stdint.h>

#include "eyeshot/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* NOLINTBEGIN(readability-identifier-naming): names as C libraries have them */

/* The same values as eyeshot::StatusCode. */
typedef enum eyeshot_code {
  EYESHOT_OK = 0,
  EYESHOT_INVALID_ARGUMENT = 1, /* something asked for that can't be */
  EYESHOT_NOT_FOUND = 2,        /* a file, a tensor or a key is missing */
  EYESHOT_CORRUPT = 3,          /* bytes that contradict their own format */
  EYESHOT_UNSUPPORTED = 4,      /* well-formed, but not something that this build can do */
  EYESHOT_LIMIT_EXCEEDED = 5,   /* a named limit of docs/limits.md */
  EYESHOT_OUT_OF_MEMORY = 6,
  EYESHOT_IO = 7,               /* the operating system refused */
  EYESHOT_CANCELLED = 8,
  EYESHOT_CONTEXT_FULL = 9,     /* the prompt does not fit into the model's context */
  EYESHOT_BUSY = 10             /* too much is under way: the same may succeed later */
} eyeshot_code;

typedef struct eyeshot_engine eyeshot_engine; /* a loaded model */
typedef struct eyeshot_chat eyeshot_chat;     /* a conversation */

typedef struct eyeshot_engine_options {
  size_t size;            /* of this struct, set by eyeshot_engine_options_init */
  const char* backend;    /* "auto", "portable", or "reference" (slow float32) */
  int threads;            /* 0: the cores that this process may use */
  int64_t context_tokens; /* 0: the model's own context length */
  /* "exact", "bf16", "int8", "q8_0", "int4", "q4_0", "fp8", "auto", or two of them, "int8,q8_0": vision tower and
   * decoder. */
  const char* precision; /* NULL: as the folder's packed weights are, exact where it has none */
  const char* kv_cache; /* "f16" or "int8"; NULL: "f16" */
  const char* mmproj; /* GGUF: the vision tower's file; NULL: the one beside the text file; "none": text alone */
  int hf_defaults; /* GGUF, 1: numbers of transformers where the converter guessed */
  const char* device; /* "auto", "cpu", "cuda", "cuda:1"; NULL: "auto", a GPU where there is one */
  uint64_t gpu_memory; /* bytes of GPU memory that may be taken; 0: all of it */
} eyeshot_engine_options;

/* A picture: a file, or the bytes of one in memory. JPEG, PNG, WebP or GIF. */
typedef struct eyeshot_image {
  const char* path; /* NULL: take `data` */
  const void* data; /* read during the call only */
  size_t data_size; /* bytes */
} eyeshot_image;

typedef struct eyeshot_ask_options {
  size_t size; /* of this struct, set by eyeshot_ask_options_init */
  int max_tokens;
  float temperature; /* 0: greedy */
  int top_k; /* 0: off */
  float top_p; /* 1: off */
  float min_p; /* 0: off */
  float repetition_penalty; /* 1: off */
  uint64_t seed;
  const char* detail; /* of pictures: "reference" (NULL), "low", "auto", or the longer side in tiles, "1" to "6" */
  double frames_fps; /* more than 0: the pictures are the frames of a clip, so many a second */
  const char* const* stop; /* the answer ends before any of these texts */
  size_t stop_count;
  /* Called on the caller's thread with each new piece of the answer, whole UTF-8 characters, not zero-terminated.
   * Returns 0 to go on, anything else to stop. May be NULL. */
  int (*on_text)(const char* text, size_t length, void* user);
  void* user; /* given to on_text */
  int jpeg_scaling; /* 1: JPEGs are decoded as small as the model can use: faster, slightly other pixels */
  const char* reduce; /* how visual tokens are made fewer: "stride:16"; NULL: "none" (docs/tokens.md) */
  int question_first; /* 1: the question comes before its pictures */
} eyeshot_ask_options;

typedef struct eyeshot_answer {
  const char* text;
  const char* finish_reason; /* "stop", "length", "context" or "cancelled" */
  int64_t prompt_tokens; /* of the whole conversation so far */
  int64_t visual_tokens;
  int64_t completion_tokens;
  int64_t tiles;
  const char* stages_json; /* the stages of this question: an array as in `eyeshot ask --json` */
} eyeshot_answer;

/* "0.1.0" */
EYESHOT_EXPORT const char* eyeshot_version(void);
/* "corrupt", "limit exceeded", ...; "unknown" for no code. */
EYESHOT_EXPORT const char* eyeshot_code_name(eyeshot_code code);

EYESHOT_EXPORT void eyeshot_engine_options_init(eyeshot_engine_options* options);
EYESHOT_EXPORT void eyeshot_ask_options_init(eyeshot_ask_options* options);

/* Loads `model`: a Hugging Face folder, a GGUF file, or a folder with one. `options` may be NULL. */
EYESHOT_EXPORT eyeshot_code eyeshot_load(const char* model, const eyeshot_engine_options* options,
                                         eyeshot_engine** engine, char** error);

/* Begins a conversation. `system` (what the model is told first) may be NULL. */
EYESHOT_EXPORT eyeshot_code eyeshot_new_chat(eyeshot_engine* engine, const char* system, eyeshot_chat** chat,
                                             char** error);

/* Shows the pictures and asks the question, which join the conversation with the answer. After an error the
 * conversation is as it was. `images` may be NULL if `image_count` is 0; `options` may be NULL. */
EYESHOT_EXPORT eyeshot_code eyeshot_ask(eyeshot_chat* chat, const eyeshot_image* images, size_t image_count,
                                        const char* question, const eyeshot_ask_options* options,
                                        eyeshot_answer** answer, char** error);

/* Forgets all messages but the system's. */
EYESHOT_EXPORT void eyeshot_chat_reset(eyeshot_chat* chat);

/* All take NULL. */
EYESHOT_EXPORT void eyeshot_engine_free(eyeshot_engine* engine);
EYESHOT_EXPORT void eyeshot_chat_free(eyeshot_chat* chat);
EYESHOT_EXPORT void eyeshot_answer_free(eyeshot_answer* answer);
EYESHOT_EXPORT void eyeshot_string_free(char* text);

/* NOLINTEND(readability-identifier-naming) */

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* EYESHOT_EYESHOT_H_ */
