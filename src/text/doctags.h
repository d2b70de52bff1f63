// DocTags, the markup in which SmolDocling and granite-docling write down a page, as Markdown or HTML.
//
//   <doctag><section_header_level_1><loc_58><loc_44><loc_426><loc_91>Results</section_header_level_1>
//   <otsl><ched>year<ched>sum<nl><fcel>2023<fcel>17<nl></otsl></doctag>
//
// Whatever the model writes becomes a document: what an answer that was cut off left open is closed, a tag that closes
// nothing is left out, and angle brackets that are no tag are text. None of it passes as HTML: in both formats text is
// escaped, so that nothing the model read off a page becomes markup.
#ifndef EYESHOT_TEXT_DOCTAGS_H_
#define EYESHOT_TEXT_DOCTAGS_H_

#include <string>
#include <string_view>

#include "eyeshot/status.h"

namespace eyeshot {

// Headings, lists, tables (a cell over several columns or rows stands in each), code, $$formulas$$, captions;
// "<!-- image -->" for a picture. Headers and footers of pages are left out. docs/cli.md has the details.
// Errors: kLimitExceeded (bytes of text or document, cells of a table).
Result<std::string> DocTagsToMarkdown(std::string_view text);

// The same as the inside of an HTML body, with cells that span and header cells. Errors: as above.
Result<std::string> DocTagsToHtml(std::string_view text);

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_DOCTAGS_H_
