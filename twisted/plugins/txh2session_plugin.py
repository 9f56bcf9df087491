from twisted.application.service import ServiceMaker

h2session = ServiceMaker("txh2session", "txh2session.tap", "Serve a demonstration of HTTP/2 sessions.", "h2session")
