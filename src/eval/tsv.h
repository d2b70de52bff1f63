// Tables of text, columns apart by tabs, as pandas' read_csv(sep='\t') reads them.
#ifndef EYESHOT_EVAL_TSV_H_
#define EYESHOT_EVAL_TSV_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot::eval {

// A field where it stands in the file. `raw` is what was between the quotes, if there were any: quotes in it are
// doubled.
struct TsvField {
  std::string_view raw;
  bool quoted = false;

  std::string Text() const;
};

// Reads row after row without copying. A field that begins with a quotation mark ends with one: tabs and line breaks in
// it belong to it.
class TsvReader {
 public:
  // `text` must outlive the reader and what it gives; `where` names it in errors.
  TsvReader(std::string_view text, std::string where);

  // Puts the next row that is not blank into `row`; false: there is none. Errors: kCorrupt (a quoted field without
  // end), kLimitExceeded (kMaxSetColumns).
  Result<bool> Next(std::vector<TsvField>& row);

  std::string Where() const;  // of the last row's first line: "set.tsv:12"

 private:
  Result<TsvField> Field();
  Result<TsvField> QuotedField();

  std::string_view text_;
  std::string where_;
  size_t at_ = 0;
  size_t line_ = 1;
  size_t row_line_ = 1;
};

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_TSV_H_
