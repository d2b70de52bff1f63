// What the pages that commands write have in common: one file each, light or dark as the reader's browser is.
#ifndef EYESHOT_CLI_PAGE_H_
#define EYESHOT_CLI_PAGE_H_

#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace eyeshot::cli {

// Up to and with "<body>". `style` is a style element, or more than one, of the page's own.
std::string PageHead(std::string_view title, std::string_view style);
std::string PageEnd();

// The rules of charts (cli/charts.h) that a drawing outside of a page needs, too: variables of colours and classes.
std::string_view ChartStyle();

// A list of coloured boxes: pairs of a class and what it stands for.
std::string Legend(std::span<const std::pair<std::string, std::string>> entries);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_PAGE_H_
