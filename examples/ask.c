/* Asks a question about a picture:   ask_c MODEL_DIR PICTURE "question" */
#include <stdio.h>

#include "eyeshot/eyeshot.h"

static int Stream(const char* text, size_t length, void* user) {
  (void)user;
  fwrite(text, 1, length, stdout);
  return 0; /* go on */
}

int main(int argc, char** argv) {
  eyeshot_engine* engine = NULL; /* may be shared by threads */
  eyeshot_chat* chat = NULL;     /* belongs to one thread at a time */
  eyeshot_answer* answer = NULL;
  eyeshot_ask_options options;
  char* error = NULL;
  if (argc != 4) return fprintf(stderr, "usage: ask_c MODEL_DIR PICTURE \"question\"\n"), 2;

  eyeshot_image picture = {.path = argv[2]};
  eyeshot_ask_options_init(&options);
  options.on_text = Stream;
  int failed = eyeshot_load(argv[1], NULL, &engine, &error) || eyeshot_new_chat(engine, NULL, &chat, &error) ||
               eyeshot_ask(chat, &picture, 1, argv[3], &options, &answer, &error);
  if (failed) fprintf(stderr, "%s\n", error);
  if (!failed) printf("\n%s\n", answer->stages_json);
  eyeshot_string_free(error);
  eyeshot_answer_free(answer);
  eyeshot_chat_free(chat);
  eyeshot_engine_free(engine);
  return failed ? 1 : 0;
}
