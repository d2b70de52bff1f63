#ifndef EYESHOT_EXPORT_H_
#define EYESHOT_EXPORT_H_

// Marks what the shared library shows; everything else is hidden.
#if defined(__cplusplus)
#define EYESHOT_EXPORT [[gnu::visibility("default")]]
#else
#define EYESHOT_EXPORT __attribute__((visibility("default")))
#endif

#endif  // EYESHOT_EXPORT_H_
