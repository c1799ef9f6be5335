/* Ends with 0 when the llhttp it is linked with refuses what only a loose one takes: a space in a
   field's name, and a chunk size whose line ends with a bare CR. */
#include <llhttp.h>
#include <string.h>

static int refuses(const char* request) {
  llhttp_settings_t settings;
  llhttp_t parser;
  llhttp_settings_init(&settings);
  llhttp_init(&parser, HTTP_REQUEST, &settings);
  return llhttp_execute(&parser, request, strlen(request)) != HPE_OK;
}

int main(void) {
  return !(refuses("GET / HTTP/1.1\r\nHo st: x\r\n\r\n") &&
           refuses("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\rX"));
}
